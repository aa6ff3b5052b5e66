"""The `turnwire` program: finds its commands and says what to install; knows none of them."""

import sys
from io import TextIOWrapper

__all__ = ["main"]


def main() -> None:
    """Run the command line; a bare install, which has no click, says what to install."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal of another encoding shows what it can. On standard error, where a service has
        # its log, Python writes what is lacking as an escape by itself.
        sys.stdout.reconfigure(errors="replace")
    try:
        from turnwire.program import program
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        # Not at the top: a start needs nothing of the protocol.
        from turnwire_protocol.extras import how_to_install

        extra = how_to_install("cli")
        print(f"The turnwire program needs more than its library: {extra}", file=sys.stderr)
        sys.exit(2)
    program()()
