"""nginx in a process of its own, with a configuration in a directory of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from bench.figures import Unfit
from tests.kit.client import get
from tests.kit.process import START_DEADLINE, stop, wait_for

_AROUND = """\
daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{ worker_connections 19000; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  sendfile on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_max_body_size 0; client_body_buffer_size 2m; open_file_cache max=16;
  {http}
}}
"""


def free_port() -> int:
    """A port that was free a moment ago; nginx and HAProxy cannot say which one the kernel gave them."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def find(program: str) -> str:
    """Where `program` is; raises Unfit where it is not installed. System daemons are not on every user's PATH."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise Unfit(f"{program} is not installed")
    return path


class Nginx:
    """A running nginx: one process. `http` is the inside of its http block; `{directory}` in it is its directory, in
    which are `files`. On `port` it speaks plain HTTP.
    """

    def __init__(self, http: str, port: int, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        program = find("nginx")
        self._directory = tempfile.TemporaryDirectory(prefix="nginx-")
        self.directory = Path(self._directory.name)
        for name, content in files.items():
            (self.directory / name).write_bytes(content)
        config = self.directory / "nginx.conf"
        inside = http.replace("{directory}", str(self.directory))
        config.write_text(_AROUND.format(directory=self.directory, http=inside))
        command = [program, "-c", str(config), "-p", str(self.directory), "-e", str(self.directory / "error.log")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # why: `load._run`
        )
        self.pid = self.process.pid
        try:
            wait_for(lambda: self._answers(port), deadline=START_DEADLINE, what="nginx answers")
        except BaseException as error:
            error.add_note((self.directory / "error.log").read_text()[-2000:])
            self.close()
            raise

    def _answers(self, port: int) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"nginx ended with {self.process.returncode}")
        try:
            get(("127.0.0.1", port), "/")
        except OSError:
            return False
        return True

    def close(self) -> None:
        try:
            stop(self.process)
        finally:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
