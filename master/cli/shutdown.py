"""`proxyctl shutdown`: stop the proxy and wait until it is gone."""

from __future__ import annotations

import os
import select

import click

from master.cli.client import AdminClient, TimedOutError
from master.cli.output import note, print_json, with_client


@click.command(short_help="Stop the proxy.")
@click.option("--now", is_flag=True, help="Close connections at once instead of letting requests finish.")
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait.")
@with_client
def command(client: AdminClient, *, now: bool, timeout: float, as_json: bool) -> None:
    """Stop the proxy: it takes no new connections, finishes requests in hand, and exits."""
    supervisor = next(
        (process["pid"] for process in client.get("/processes").json()["processes"] if process["role"] == "supervisor"),
        None,
    )
    ended = _pidfd(supervisor)
    try:
        client.post("/quitquitquit", {"now": ""} if now else {})
        if not as_json:
            note("stopping" if now else "draining; requests in hand are finished")
        if ended is not None and not _wait(ended, timeout):
            raise TimedOutError(f"the proxy still runs after {timeout:g} s; `proxyctl shutdown --now` does not wait")
    finally:
        if ended is not None:
            os.close(ended)
    if as_json:
        print_json({"stopped": ended is not None})
    else:
        note("stopped" if ended is not None else "the order was given")


def _pidfd(pid: int | None) -> int | None:
    """A descriptor that becomes readable when the process ends; a pid alone could meanwhile be another process."""
    if pid is None:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _wait(pidfd: int, timeout: float) -> bool:
    readable, _, _ = select.select([pidfd], [], [], timeout)
    return bool(readable)
