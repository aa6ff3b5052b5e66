"""How all tests run: on three workers, the long ones first; and which half of them is slow."""

import fcntl
import functools
import gc
import os
import signal
import sys
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests.kit import surroundings
from tests.kit.patience import PATIENCE_SECONDS
from turnwire_browser.build import BuildError, build

__all__: list[str] = []

HERE = Path(__file__).parent

# Before anything is imported, and for the processes that tests start: containers often keep Python
# from writing bytecode, and each of them would compile all that it imports, which is half of what
# it costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What is imported and collected stays: to look through it for garbage is a fifth of the collection.
gc.disable()

# What is begun in the background of a shell ignores Ctrl-C, and with it all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Properties take as long as they take: no test measures time.
settings.register_profile(
    "turnwire", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("turnwire")
# It draws constants of all modules that are loaded, too: what ran before on the same worker would
# decide what is drawn, where the same is to be drawn each time.
providers._get_local_constants = lambda: providers._local_constants

SLOW = (
    "faults",
    "e2e/react",
    "e2e",
    "client/test_cli.py",
    "client/terminal/test_questions.py",
    "browser",
    "test_packages.py",
    "server/test_cli.py",
    "server/test_workers.py",
    "server/tools/test_mcp.py",
    "server/test_fuzz.py",
    "server/test_schemathesis.py",
    "server/test_reasons.py",
    "client/test_blobs.py",
    "client/test_healing.py",
    "server/test_proxies.py",
    "server/test_log_noise.py",
    "server/test_no_trace.py",
    "server/test_move.py",
    "server/store/test_kill.py",
    "server/store/test_trouble.py",
    "wires/ag_ui/test_clients.py",
    "wires/ag_ui/test_copilotkit.py",
    "wires/ag_ui/test_fold.py",
    "wires/ag_ui/test_kill.py",
    "wires/test_hostile.py",
    "wires/ai_sdk/test_kill.py",
    "wires/ai_sdk/test_pages.py",
    "wires/ai_sdk/test_fold.py",
    "wires/ai_sdk/test_socket.py",
    "wires/openai/test_kill.py",
    "wires/openai/test_npm.py",
)
"""The folders and files of the slow half, in the order in which they run."""

TOGETHER = (
    "browser/test_build.py",
    "e2e",
    "faults/test_nodes.py",
    "test_packages.py",
    "server/model/test_raw.py",
    "server/test_page_files.py",
    "server/tools/test_mcp.py",
    "wires/ag_ui/test_clients.py",
    "wires/ag_ui/test_copilotkit.py",
    "wires/ai_sdk",
)
"""Where the tests of a file share what is dear to make, so that one worker runs them all."""

FOLDERS = ("e2e/react",)
"""Where the files share it, too."""


LAST = "wires/__pycache__/test_turn_reader.*.pyc"
"""What is compiled last in a collection: where it is, all is."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Takes the options of pytest-xdist in pyproject.toml where it is not there (`-p no:xdist`)."""
    if not pluginmanager.hasplugin("xdist"):
        for option in ("--numprocesses", "--dist"):
            parser.addoption(option, help="nothing without pytest-xdist")
        parser.addoption("--no-loadscope-reorder", action="store_true", help="the same")


def pytest_configure(config: pytest.Config) -> None:
    """Builds the chat page, where a source has changed since: nobody tests an old one. The workers
    of pytest-xdist, whose `config` has an input, find it built.
    """
    if hasattr(config, "workerinput"):
        return
    try:
        build()
    except BuildError as error:
        pytest.exit(str(error), returncode=1)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before a test is imported, in the process that runs it. The one that only shows what came of
    it keeps what says how: how wide the terminal is, and whether it has colours.
    """
    if not session.config.pluginmanager.hasplugin("dsession"):
        surroundings.enter()


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """In a fresh clone one worker collects before the others, which find compiled what it did:
    that is more than half of what it costs."""
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker or any(HERE.glob(LAST)):
        return (yield)
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow and what belongs together; puts the slow first.

    One worker must not be left with a long test when the other has nothing more to do.
    """
    for item in items:
        if _place(item.path, SLOW) < len(SLOW):
            item.add_marker("slow")
    items.sort(key=lambda item: _place(item.path, SLOW))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look through it, ever."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Lets go of the app of a test: FastAPI remembers every endpoint that it was given, 4,096 of
    them, and with each of them all that it refers to. To look through fifty dead services was half
    of the time of the quick tests.
    """
    models = sys.modules.get("fastapi.dependencies.models")
    for remembered in () if models is None else vars(models).values():
        if isinstance(remembered, functools._lru_cache_wrapper):
            remembered.cache_clear()


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that nobody has used: a file, and a PostgreSQL. For what the store has a part in:
    what a service finds when it comes back, what it must not lose, what many want at once."""
    if request.param == "sqlite":
        return str(tmp_path / "chat.db")
    from tests.kit.postgres import fresh_url

    return fresh_url()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Gives the tests of a file to one worker, where they share what is dear to make.

    pytest-xdist's marks for that do nothing under pytest 9.2, which computes the ids of its tests
    where pytest-xdist 3.8 writes into them.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            if (at := _place(HERE.parent / file, FOLDERS)) < len(FOLDERS):
                return FOLDERS[at]
            return file if _place(HERE.parent / file, TOGETHER) < len(TOGETHER) else nodeid

    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Makes text of what a worker reports: half a surrogate pair, in a log line, would end it."""
    report = yield
    report.sections = [(name, _encodable(text)) for name, text in report.sections]
    if report.longrepr is not None and _encodable(report.longreprtext) != report.longreprtext:
        report.longrepr = _encodable(report.longreprtext)
    return report


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@functools.cache
def _place(file: Path, paths: tuple[str, ...]) -> int:
    """The first of the paths in which the file is; beyond the last where it is in none."""
    here = file.relative_to(HERE).parts
    parts = [tuple(path.split("/")) for path in paths]
    found = (at for at, part in enumerate(parts) if here[: len(part)] == part)
    return next(found, len(paths))


@pytest.fixture
def within_a_day() -> None:
    """For a test that midnight would disturb, in UTC or where this machine is: shortly before one
    the test begins after it."""
    # The service's days are those of UTC, and the page's the browser's.
    for now in (datetime.now(UTC), datetime.now()):
        left = timedelta(days=1) - timedelta(
            hours=now.hour, minutes=now.minute, seconds=now.second, microseconds=now.microsecond
        )
        if left.total_seconds() < PATIENCE_SECONDS:
            time.sleep(left.total_seconds())
