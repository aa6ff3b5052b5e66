"""A real nginx with the configuration from `server/deploy`, in front of a service."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit.patience import patience
from tests.kit.port import listened, reserved_port

__all__ = ["Nginx", "proxied"]

_CONFIGURATION = Path(__file__).parents[2] / "server" / "deploy" / "nginx.conf"

_FRAME = """
{user} daemon off; pid "{folder}/nginx.pid"; error_log "{folder}/error.log"; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path "{folder}/body"; proxy_temp_path "{folder}/proxy";
  fastcgi_temp_path "{folder}/fastcgi"; uwsgi_temp_path "{folder}/uwsgi";
  scgi_temp_path "{folder}/scgi"; include "{folder}/turnwire.conf";
}}
"""


def _user() -> str:
    # Started by root its worker would be another user, who may not spool bodies into the folder.
    return "user root root;" if os.geteuid() == 0 else ""


class Nginx:
    """The process; it can be stopped and started again on its port."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(*self._command)
        async with patience():
            await listened(self._port)

    async def stop(self) -> None:
        """Fast shutdown: connections are cut."""
        if self._process is not None:
            # One that could not start has ended by itself.
            if self._process.returncode is None:
                self._process.terminate()
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def proxied(service_port: int, folder: Path) -> AsyncIterator[Nginx]:
    """nginx in front of the service on this port of this machine."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        missing = "there is no nginx: apt-get install nginx-light"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with reserved_port() as port:
        nginx = Nginx(program, folder, port)
        _configure(folder, port, service_port)
        try:
            await nginx.start()
            yield nginx
        finally:
            await nginx.stop()


def _configure(folder: Path, port: int, service_port: int) -> None:
    """Write what nginx reads."""
    configuration = _CONFIGURATION.read_text("utf-8")
    assert "server turnwire:8000;" in configuration
    configuration = configuration.replace("turnwire:8000", f"127.0.0.1:{service_port}")
    configuration = configuration.replace("listen 8080", f"listen 127.0.0.1:{port}")
    (folder / "turnwire.conf").write_text(configuration, "utf-8")
    frame = _FRAME.format(folder=folder, user=_user())
    (folder / "nginx.conf").write_text(frame, "utf-8")
