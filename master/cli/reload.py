"""`proxyctl reload`: the configuration again, applied as a difference, shown while it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from master.cli.client import AdminClient, AdminError, TimedOutError
from master.cli.output import note, plain, print_json, with_client

POLL = 0.05
"""Seconds between two looks."""
PATIENCE = 240.0
"""Seconds; every step of a reload has a deadline of its own."""

_HOW = {
    "added": "added",
    "removed": "removed; {} drain",
    "in_place": "changed in place; connections stay",
    "modified": "changed; requests in hand finish",
    "drains": "changed; {} drain",
}


class _FailedError(AdminError):
    """Nothing was changed."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


@click.command(short_help="Apply what has changed in the configuration.")
@with_client
def command(client: AdminClient, *, as_json: bool) -> None:
    """Read the configuration again and apply what has changed, in all workers or in none.

    Connections of listeners that did not change are not touched, nor are those of one in which only routes changed: the
    next request sees them. Of a listener that changed otherwise the open connections drain (`run --drain-time-s`), and
    new ones see the change. `proxyctl diff` tells before.

    \b
    Exit codes: 0 done, or nothing to do · 3 invalid configuration · 5 refused, or an address is in use · 6 timeout
                (3, 5, 6: nothing has changed)
    """
    client.post("/reload/begin")
    finish(follow(client, quiet=as_json), as_json=as_json)


def follow(client: AdminClient, *, quiet: bool) -> dict[str, Any]:
    """The status in which the reload ended. Raises an `AdminError` if it failed."""
    deadline, last = time.monotonic() + PATIENCE, ""
    while time.monotonic() < deadline:
        try:
            status: dict[str, Any] = client.get("/reload").json()
        except AdminError:  # a controller that died is back soon, and the reload knows of it
            time.sleep(POLL)
            continue
        if status["phase"] == "idle":
            if status["exit_code"]:
                raise _FailedError(status["reason"], status["exit_code"])
            return status
        words = _progress(status)
        if words != last and not quiet:
            note(words)
        last = words
        time.sleep(POLL)
    raise TimedOutError("the reload has not ended in time; `proxyctl config history` shows what is in effect")


def _progress(status: Mapping[str, Any]) -> str:
    done = f"{status['workers_done']} of {status['workers']} workers"
    match status["phase"]:
        case "compiling":
            return f"version {status['version']}: compiling the configuration"
        case "settling" | "placing":
            return f"version {status['version']}: binding addresses, resolving names"
        case "preparing":
            return f"version {status['version']}: {done} have it at hand"
    return f"version {status['version']}: {done} serve it"


def finish(status: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what has been done."""
    if as_json:
        print_json(status)
        return
    for warning in status["warnings"]:
        note(warning)
    if status["outcome"] == "unchanged":
        click.echo("the configuration is the same: nothing was done")
        return
    print_changes(status)
    for name in status["replaced"]:
        note(f"{name} did not answer and was replaced")
    click.echo(f"version {status['version']} is in effect in {status['workers_done']} worker(s)")


def print_changes(status: Mapping[str, Any]) -> None:
    """A line for each resource."""
    for change in status["changes"]:
        count = change.get("connections")
        whose = "its connections" if count is None else f"{count} connection{'s' if count != 1 else ''}"
        how = _HOW[change["how"]].format(whose)
        if change["kind"] == "cluster":
            how = {"removed": "removed; requests in hand finish", "in_place": "other hosts"}.get(change["how"], how)
        click.echo(f"{change['kind']} {plain(change['name'])}: {how}")
