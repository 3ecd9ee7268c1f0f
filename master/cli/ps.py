"""`proxyctl ps`: every process with what it does and costs."""

from __future__ import annotations

from typing import Any

import click

from master.cli import holders
from master.cli.client import AdminClient
from master.cli.output import bytes_shown, duration_shown, note, print_json, print_table, with_client

HEADINGS = (
    "ROLE", "INDEX", "PID", "GEN", "STATE", "CPU%", "RSS", "CONNS", "REQS", "LAG", "UPTIME", "RESTARTS",
)  # fmt: skip


@click.command(short_help="Show every process of the proxy.")
@with_client
def command(client: AdminClient, *, as_json: bool) -> None:
    """Show every process: CONNS are open downstream connections, REQS requests in hand, LAG how late its loop is."""
    processes = client.get("/processes").json()["processes"]
    if as_json:
        print_json(processes)
    else:
        print_table(HEADINGS, [_row(process) for process in processes])
        _tell_drains(client)


def _tell_drains(client: AdminClient) -> None:
    """A line for each generation that drains, and its oldest connections."""
    for old in client.get("/hot_restart").json()["generations"]:
        if old["state"] == "draining":
            left = duration_shown(old["ends_in_s"])
            note(f"generation {old['generation']} drains, for {left} at most: {old['connections']} connections")
            for line in holders.named(client, generation=old["generation"]):
                note(f"  held by {line}")


def _row(process: dict[str, Any]) -> tuple[object, ...]:
    return (
        process["role"],
        process["index"] if process["role"] == "worker" else None,
        process["pid"],
        process["generation"],
        process["state"],
        process["cpu_percent"],
        bytes_shown(process["rss_bytes"]),
        process["connections"],
        process["requests_active"],
        duration_shown(process["loop_lag_seconds"]),
        duration_shown(process["uptime_seconds"]),
        process["restarts"],
    )
