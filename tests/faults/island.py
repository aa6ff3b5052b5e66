"""A network namespace of Linux as an island: one link leads to its clients and to the model,
another one to PostgreSQL, and that one can be made to drop every packet without a word.

It takes root's rights over the network (`CAP_NET_ADMIN`, `CAP_SYS_ADMIN`) and Debian's `iproute2`.
"""

import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["Island", "island"]

_NETWORK = ipaddress.ip_network("198.18.0.0/15")
"""For tests of networks, and routed nowhere (RFC 2544)."""
_PLACE_ADDRESSES = 8
"""Of one island: four for each of its links."""


_ENTRY = """import ctypes, os
_descriptor = os.open("/run/netns/{name}", os.O_RDONLY)
assert ctypes.CDLL(None).setns(_descriptor, 0) == 0
os.close(_descriptor)"""
"""Python's own `os.setns` came with 3.12."""


class Island:
    """What is on it reaches this machine as `mainland` and `database`, and is reached as `host`."""

    def __init__(self) -> None:
        # By the process, so that two workers' do not meet.
        places = _NETWORK.num_addresses // _PLACE_ADDRESSES
        number = os.getpid() % places
        first = _NETWORK.network_address + number * _PLACE_ADDRESSES
        self.mainland, self.host = str(first + 1), str(first + 2)
        self.database, self._there = str(first + 5), str(first + 6)
        self._name = f"turnwire-{number}"
        self._link, self._database_link = f"tw{number}", f"twdb{number}"

    @property
    def entry(self) -> str:
        """A program that brings the process that runs it onto the island."""
        return _ENTRY.format(name=self._name)

    def rise(self) -> None:
        """Make it.

        Raises:
            CalledProcessError: this process may not.
        """
        _run("ip", "netns", "add", self._name)
        _run("ip", "-n", self._name, "link", "set", "lo", "up")
        for link, here, there in (
            (self._link, self.mainland, self.host),
            (self._database_link, self.database, self._there),
        ):
            ends = ("name", link, "type", "veth", "peer", "name", link, "netns", self._name)
            _run("ip", "link", "add", *ends)
            for of, address in (((), here), (("-n", self._name), there)):
                _run("ip", *of, "address", "add", f"{address}/30", "dev", link)
                _run("ip", *of, "link", "set", link, "up")

    def cut(self) -> None:
        """Neither end of the link to PostgreSQL sends anything any more; nobody is told."""
        self._at_both_ends("add", "blackhole")

    def heal(self) -> None:
        """It sends again."""
        self._at_both_ends("delete")

    def sink(self) -> None:
        """Take it away; what runs on it must have ended."""
        for link in (self._link, self._database_link):
            subprocess.run(["ip", "link", "delete", link], capture_output=True)
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True)

    def _at_both_ends(self, action: str, *discipline: str) -> None:
        for of in ((), ("-n", self._name)):
            _run("tc", *of, "qdisc", action, "dev", self._database_link, "root", *discipline)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def island() -> Iterator[Island]:
    """One; skips the test where this machine does not let us have it."""
    if shutil.which("ip") is None or shutil.which("tc") is None:
        reason = "no iproute2: neither ip nor tc may be missing on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    made = Island()
    try:
        try:
            made.rise()
            # The kernel may have been built without it.
            made.cut()
            made.heal()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces: {' '.join(error.cmd)}: {error.stderr.strip()}")
        yield made
    finally:
        made.sink()
