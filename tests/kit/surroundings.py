"""What of the surroundings reaches the tests, and the processes that they start: nearly nothing.

Somebody who runs the tests may also run the service, from the same shell: `TURNWIRE_TOKEN` and
`ANTHROPIC_BASE_URL` are set there, a proxy, a tracing endpoint, how wide and colourful a terminal
is. Whoever builds servers has names of his own there, and each library has some that we do not know
of. So what is kept has a name here, and what a test is about it sets itself.
"""

import os
import resource
from pathlib import Path

__all__ = ["enter", "for_a_registry"]

_KEPT = frozenset(
    {
        # Where programs, libraries and packages are, and who runs them.
        *("HOME", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PLAYWRIGHT_BROWSERS_PATH", "USER"),
        *("UV", "VIRTUAL_ENV", "XDG_CACHE_HOME"),
        *("TEMP", "TMP", "TMPDIR"),
        # Whatever place and language it is: the tests are to pass there.
        *("LANG", "LANGUAGE", "TZ"),
        # Whether what is missing may be skipped.
        "CI",
    }
)
_KEPT_BEGINNINGS = (
    *("COVERAGE_", "LC_", "PYTEST_", "PYTHON", "TURNWIRE_TEST_"),
    # How registries are reached; nothing else of ours asks for it.
    *("NODE_EXTRA_CA_CERTS", "NPM_CONFIG_", "PIP_", "UV_", "npm_config_"),
)
_NO_CERTIFICATES = str(Path(__file__).parent)
"""A folder. No test speaks TLS, and each of hundreds of HTTP clients would read all certificates of
the system."""
_FILES = 4096

_left_out: dict[str, str] = {}
"""What the tests do not have. The way to a registry may be among it: proxies, certificates."""


def enter() -> None:
    """Leave of this process's environment what the tests are to have."""
    for name, value in list(os.environ.items()):
        if name not in _KEPT and not name.startswith(_KEPT_BEGINNINGS):
            del os.environ[name]
            # It says what npm installs, and not from where.
            if name != "NODE_ENV":
                _left_out[name] = value
    os.environ["SSL_CERT_DIR"] = _NO_CERTIFICATES
    # Some systems begin with few files, and allow more: a hundred clients and their service are in
    # one process here.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def for_a_registry() -> dict[str, str]:
    """The environment of a program that gets packages: the way there is known to who runs the
    tests, in whatever words. Where nobody has entered it is this process's."""
    here = dict(os.environ)
    if here.get("SSL_CERT_DIR") == _NO_CERTIFICATES:
        del here["SSL_CERT_DIR"]
    # What a test has set on purpose wins.
    return _left_out | here
