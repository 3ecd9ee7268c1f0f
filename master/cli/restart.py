"""`proxyctl restart`: a hot restart, shown while it goes on."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import click

from master.cli import holders
from master.cli.client import AdminClient, AdminError, RejectedError, TimedOutError
from master.cli.duration import seconds
from master.cli.output import note, print_json, with_client
from master.supervisor.restart_request import EXEC_FILE

POLL = 0.1
"""Seconds between two looks."""
PATIENCE = 30.0
"""Seconds beyond the new generation's own deadline for everything else: compiling, handing over."""


class _FailedError(AdminError):
    """The restart failed; what served before serves on."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


@click.command(short_help="Take over code and configuration; drop nothing.")
@click.option("--exec", "path", type=click.Path(exists=True),
              help="Other code: a virtual environment, its bin/proxyctl, or a Python interpreter.")  # fmt: skip
@click.option("--ready-timeout", type=click.FloatRange(min=0, min_open=True, max=3600), default=60.0, show_default=True,
              help="Seconds for the new generation to become ready.")  # fmt: skip
@click.option("--canary", type=seconds, default="0", metavar="TIME",
              help="Try one worker of the new generation for so long first, as 30s or 5m.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Wait until the old generation's last connection has ended.")
@with_client
def command(
    client: AdminClient, *, path: str | None, ready_timeout: float, canary: float, wait: bool, as_json: bool
) -> None:
    """Restart in place: the same process id, the code and the configuration that are on disk now.

    The new generation starts beside the old one and takes over once all of it is ready; if it does not become ready,
    it is removed, and the old one has never stopped accepting. The old one's connections stay with it: each ends with
    its next response, and all of them after --parent-shutdown-time-s (see `proxyctl run`).

    With --canary, one of its workers takes a part of the new connections first. If more requests fail by its own doing
    than in the old generation over the same time, if its processes die or its event loop is late more often, it is sent
    back: what it has accepted is finished, and nothing else has changed.

    \b
    Exit codes: 0 done · 1 the new code failed, or its canary did worse · 3 invalid configuration
                5 refused, or an address is in use · 6 not ready in time
    """
    show = _Show(quiet=as_json)
    if path is not None:
        _leave_path(client.runtime_dir, Path(path).absolute())
    try:
        query = {"ready_timeout": f"{ready_timeout:g}"} | ({"canary": f"{canary:g}"} if canary else {})
        client.post("/hot_restart/begin", query)
    except AdminError:
        with contextlib.suppress(OSError):
            (client.runtime_dir / EXEC_FILE).unlink()
        raise
    status = _follow(client, show, time.monotonic() + ready_timeout + canary + PATIENCE)
    if status["exit_code"]:
        raise _FailedError(status["reason"], status["exit_code"])
    pace = holders.Pace()
    while wait and _older(status):
        time.sleep(POLL)
        status = _status(client) or status
        show.draining(status)
        for old in _older(status) if pace.due() and not as_json else ():
            for line in holders.named(client, generation=old["generation"]):
                note(f"  held by {line}")
    if as_json:
        print_json(status)


def _follow(client: AdminClient, show: _Show, deadline: float) -> dict[str, Any]:
    """The status in which it ended."""
    while time.monotonic() < deadline:
        status = _status(client)
        if status is not None:
            show.progress(status)
            if status["phase"] == "idle":
                if not status["exit_code"]:
                    show.done(status)
                return status
        time.sleep(POLL)
    raise TimedOutError("the restart has not ended in time; `proxyctl ps` shows what there is")


def _status(client: AdminClient) -> dict[str, Any] | None:
    """None while it is being handed from one controller to the next."""
    try:
        status: dict[str, Any] = client.get("/hot_restart").json()
    except AdminError:
        return None
    return status


def _older(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in status["generations"] if each["generation"] < status["leader"]]


def _leave_path(directory: Path, path: Path) -> None:
    """Tell the supervisor, in a file that nobody else can write, which code is meant."""
    file = directory / EXEC_FILE
    try:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RejectedError(f"--exec: cannot write {file} ({error.strerror}); run this as the proxy's user") from error
    with os.fdopen(fd, "w") as out:
        json.dump({"exec": str(path)}, out)


def _canary(number: int, canary: dict[str, Any]) -> str:
    mine, theirs = canary["canary"], canary["serving"]
    return (
        f"generation {number}: one worker serves, {canary['left']:.0f} of {canary['seconds']:g} s left: "
        f"{mine['requests_failed']} of {mine['requests']} requests failed "
        f"(before: {theirs['requests_failed']} of {theirs['requests']})"
    )


def _ends(old: dict[str, Any]) -> str:
    """How long it may drain yet, in rough steps, so that the line is not a new one every second."""
    left: float = old.get("ends_in_s") or 0.0
    return f"{math.ceil(left / 10) * 10} s" if left <= 60 else f"{math.ceil(left / 60)} min"


class _Show:
    """Prints what has changed since the last look."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = ""

    def _say(self, text: str) -> None:
        if text != self._last and not self._quiet:
            note(text)
        self._last = text

    def progress(self, status: dict[str, Any]) -> None:
        number = status["generation"]
        match status["phase"]:
            case "preflight":
                self._say(f"generation {number}: compiling the configuration")
            case "starting":
                controller = "ready" if status["controller_ready"] else "starting"
                ready = f"{status['workers_ready']} of {status['workers']} workers ready"
                self._say(f"generation {number}: {ready}, controller {controller}")
            case "canary":
                self._say(_canary(number, status["canary"]))
            case "handover" | "takeover":
                self._say(f"generation {number} serves; the supervisor becomes its code")

    def done(self, status: dict[str, Any]) -> None:
        self._say(f"generation {status['generation']} has taken over")
        self.draining(status)

    def draining(self, status: dict[str, Any]) -> None:
        for old in _older(status):
            self._say(
                f"generation {old['generation']} drains: {old['connections']} connections, "
                f"{old['requests_active']} requests; what is left in {_ends(old)} is closed"
            )
