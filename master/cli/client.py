"""HTTP to the running proxy over its Unix admin socket. Every failure is an `AdminError` with its exit code."""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from master.cli.runtime_dir import ENV_RUNTIME_DIR

TIMEOUT = 10.0
"""Seconds for a whole answer, unless a command says otherwise."""
MAX_ANSWER = 512 * 1024 * 1024
"""Bytes; more than any admin page has."""
_READ_BYTES = 256 * 1024


class AdminError(Exception):
    """The command failed; `code` is its exit code (DESIGN §5)."""

    code = 1


class UsageError(AdminError):
    code = 2


class NotRunningError(AdminError):
    code = 4


class RejectedError(AdminError):
    code = 5


class TimedOutError(AdminError):
    code = 6


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    body: bytes

    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class AdminClient:
    """One connection per request: the commands make one or two."""

    def __init__(self, runtime_dir: str) -> None:
        self.runtime_dir = Path(runtime_dir)
        self.socket_path = self.runtime_dir / "admin.sock"

    def get(self, path: str, query: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT) -> Answer:
        """The page at `path`. Raises an `AdminError` unless its status is 200."""
        return self._request("GET", path, query or {}, timeout)

    def post(self, path: str, query: Mapping[str, str] | None = None, *, timeout: float = TIMEOUT) -> Answer:
        """Ask for a change. Raises an `AdminError` unless its status is 200."""
        return self._request("POST", path, query or {}, timeout)

    def _request(self, method: str, path: str, query: Mapping[str, str], timeout: float) -> Answer:
        self._check_owner()
        target = f"{path}?{urlencode(query)}" if query else path
        connection = _UnixConnection(self.socket_path, time.monotonic() + timeout)
        try:
            connection.request(method, target)
            answer = connection.answer()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(
                f"no proxy is running in {self.runtime_dir}. Start one with `proxyctl run`, or name the directory of "
                f"the one you mean with --runtime-dir or {ENV_RUNTIME_DIR}"
            ) from error
        except PermissionError as error:
            raise NotRunningError(f"{self.socket_path} belongs to another user; run proxyctl as that user") from error
        except TimeoutError as error:
            raise TimedOutError(f"{method} {path}: no complete answer within {timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(
                f"{method} {path}: the proxy ended the connection ({error or type(error).__name__})"
            ) from error
        finally:
            connection.close()
        return _checked(answer)

    def _check_owner(self) -> None:
        """The default directory lies in /tmp for some users, where anybody could have made it before us."""
        try:
            owner = self.runtime_dir.stat().st_uid
        except OSError:
            return  # connecting will tell
        if os.geteuid() not in (0, owner) and owner != 0:
            raise NotRunningError(f"{self.runtime_dir} belongs to user {owner}; run proxyctl as that user")


def _checked(answer: Answer) -> Answer:
    if answer.status == 200:
        return answer
    kind = {400: UsageError, 409: RejectedError, 504: TimedOutError}.get(answer.status, AdminError)
    raise kind(answer.text().strip() or f"the proxy answered {answer.status}")


class _UnixConnection(http.client.HTTPConnection):
    """`deadline` (monotonic) bounds connecting, sending and the whole answer together."""

    def __init__(self, path: Path, deadline: float) -> None:
        super().__init__("localhost")
        self._path = path
        self._deadline = deadline

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self._limit()
        self.sock.connect(str(self._path))

    def answer(self) -> Answer:
        sock = self.sock  # getresponse() gives it up if the server closes after the answer
        self._limit()
        response = self.getresponse()
        body = bytearray()
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if sock.fileno() >= 0:
                sock.settimeout(left)
            data = response.read1(_READ_BYTES)
            if not data:
                return Answer(response.status, bytes(body))
            body += data
            if len(body) > MAX_ANSWER:
                raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER} bytes")

    def _limit(self) -> None:
        self.sock.settimeout(max(0.001, self._deadline - time.monotonic()))
