"""HAProxy as its manual has it reload: master-worker, listening sockets passed on (`expose-fd listeners`).

`idle-close-on-response` is set: without it, an old worker closes idle keep-alive connections without a word.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.figures import Unfit
from bench.nginx import find, free_port
from bench.soak.subjects.trireme import logged
from tests.kit.client import get
from tests.kit.load import Outcome
from tests.kit.origin import Origin
from tests.kit.process import START_DEADLINE, stop, wait_for

_CONFIG = """
global
  nbthread 2
  log stdout format raw local0
  stats socket {directory}/stats.sock mode 600 level admin expose-fd listeners
defaults
  log global
  log-format "%cp %t %ts %Tt"
  timeout connect 1s
  timeout client 3600s
  timeout server 60s
  timeout http-keep-alive 3600s
frontend web
  mode http
  option idle-close-on-response
  bind 127.0.0.1:{web}
  default_backend origin
backend origin
  mode http
  http-reuse always
  server origin 127.0.0.1:{origin}
listen tcp
  mode tcp
  bind 127.0.0.1:{tcp}
  server origin 127.0.0.1:{origin}
"""


class HAProxy:
    """A master with one worker of two threads."""

    within: Sequence[str] = ()
    patience = 30.0

    def __init__(self) -> None:
        program = find("haproxy")
        self._origin = Origin()
        self._directory = tempfile.TemporaryDirectory(prefix="haproxy-")
        directory = Path(self._directory.name)
        self._log = directory / "log"
        ports = {"web": free_port(), "tcp": free_port()}
        self.places = {name: ("127.0.0.1", port) for name, port in ports.items()}
        config = directory / "haproxy.cfg"
        config.write_text(_CONFIG.format(directory=directory, origin=self._origin.port, **ports))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-W", "-db", "-f", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        try:
            wait_for(self._answers, deadline=START_DEADLINE, what="HAProxy answers")
        except BaseException as error:
            error.add_note(self._log.read_text()[-2000:])
            self.close()
            raise

    def _answers(self) -> bool:
        if not self.alive():
            raise Unfit(f"HAProxy ended with {self._process.returncode}")
        try:
            get(self.places["web"], "/")
        except OSError:
            return False
        return True

    def workers(self) -> list[int]:
        """The process ids of its workers, old and new."""
        return [child.pid for child in psutil.Process(self._process.pid).children()]

    def reload(self) -> None:
        self._process.send_signal(signal.SIGUSR2)

    def explain(self, outcome: Outcome) -> list[str]:
        return logged(self._log, outcome.port)

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        try:
            stop(self._process)
        finally:
            self._origin.close()
            self._directory.cleanup()
