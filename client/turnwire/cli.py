"""The `turnwire` program: finds its commands and says what to install; knows none of them."""

import sys

__all__ = ["main"]

REMEDY = 'pip install "turnwire[server]"'


def main() -> None:
    """Run the command line; a bare install, which has no click, says what is missing."""
    try:
        from turnwire.program import program
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print(f"The turnwire program needs more than its client: {REMEDY}", file=sys.stderr)
        sys.exit(2)
    program(REMEDY)()
