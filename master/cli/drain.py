"""`proxyctl drain`: have listeners' clients leave and close them; `--undo` takes it back."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import click

from master.cli import holders
from master.cli.client import AdminClient, TimedOutError
from master.cli.output import note, print_json, with_client

POLL = 0.2
"""Seconds between looks at what is left."""
PATIENCE = 30.0
"""Seconds that `--wait` waits beyond the drain for the last connections, unless told otherwise."""


@click.command(short_help="Have listeners' connections leave, and close them.")
@click.argument("listeners", metavar="[LISTENER]...", nargs=-1)
@click.option("--graceful", is_flag=True, help="Serve on for the drain time (run --drain-time-s), then close.")
@click.option("--keep-open", is_flag=True, help="Do not close them: only have their connections leave.")
@click.option("--inbound-only", is_flag=True, help="Only listeners whose traffic_direction is INBOUND.")
@click.option("--undo", is_flag=True, help="Take a drain back; closed listeners open again.")
@click.option("--wait", is_flag=True, help="Return when they are closed and their last connection is gone.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait; default: the drain, and half a minute.")
@with_client
def command(
    client: AdminClient,
    listeners: tuple[str, ...],
    *,
    graceful: bool,
    keep_open: bool,
    inbound_only: bool,
    undo: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Have the connections of these listeners leave (all listeners without names), and close the listeners.

    HTTP/1 connections end with one of their next responses, sooner or later as `run --drain-strategy` says; idle ones
    stay. Without --graceful the listeners close at once, as soon as every connection in their queues is accepted.
    """
    if undo and (graceful or keep_open or wait):
        raise click.UsageError("--undo stands alone")
    flags = {"graceful": graceful, "skip_exit": keep_open, "inboundonly": inbound_only, "undo": undo}
    query = {name: "" for name, given in flags.items() if given}
    known = {listener["name"] for listener in _state(client)}
    for name in listeners:
        if name not in known:
            raise click.UsageError(f"no such listener: {name}; there are: {', '.join(sorted(known))}")
    for more in [{"listener": name} for name in listeners] or [{}]:
        client.post("/drain_listeners", query | more)
    concerned = {item["name"] for item in _state(client) if not listeners or item["name"] in listeners}
    if wait:
        _wait(client, concerned, timeout=timeout, until_closed=not keep_open, quiet=as_json)
    state = [item for item in _state(client) if item["name"] in concerned]
    if as_json:
        print_json(state)
    else:
        for item in state:
            note(_words(item))


def _state(client: AdminClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/drains").json()["listeners"]
    return found


def _wait(
    client: AdminClient, names: Collection[str], *, timeout: float | None, until_closed: bool, quiet: bool
) -> None:
    """Until nothing is left; says so whenever the number of connections changes, and who they are when it has not for
    a while. Raises `TimedOutError`.
    """
    pace = holders.Pace()
    shown, end = "", None if timeout is None else time.monotonic() + timeout
    while True:
        state = [item for item in _state(client) if item["name"] in names and item["state"] != "open"]
        left = [item for item in state if item["connections"] or (until_closed and item["state"] != "closed")]
        if not left:
            return
        if end is None:
            end = time.monotonic() + PATIENCE + max(item.get("closes_in_s") or 0.0 for item in left)
        words = "; ".join(f"{item['name']}: {item['connections']} connection(s)" for item in left)
        if time.monotonic() >= end:
            held = _held(client, left)
            raise TimedOutError(
                f"the drain goes on ({words}); idle connections stay until their client or a stop ends them{held}"
            )
        if words != shown and not quiet:
            note(words)
            shown = words
            pace.wait()
        elif pace.due() and not quiet:
            note(f"held by{_held(client, left)}")
        time.sleep(POLL)


def _held(client: AdminClient, left: list[dict[str, Any]]) -> str:
    """A line for each of the oldest connections of these listeners."""
    return "".join(f"\n  {line}" for item in left for line in holders.named(client, listener=item["name"]))


def _words(item: dict[str, Any]) -> str:
    name, connections = item["name"], f"{item['connections']} open connection(s)"
    if item["state"] == "open":
        return f"{name}: open, {connections}"
    if item["state"] == "closed":
        return f"{name}: closed, {connections}"
    closes = item["closes_in_s"]
    return f"{name}: draining, {connections}, " + ("stays open" if closes is None else f"closes in {closes:g} s")
