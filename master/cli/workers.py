"""`proxyctl workers [N]`: how many there are, or shall be."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import note, print_json, with_client

TIMEOUT = 60.0
"""Seconds until new workers serve."""


@click.command(short_help="Show or change the number of workers.")
@click.argument("count", type=click.IntRange(min=1), required=False)
@with_client
def command(client: AdminClient, *, count: int | None, as_json: bool) -> None:
    """Print the number of workers, or change it to COUNT while requests go on, and wait until they serve."""
    if count is not None:
        client.post("/workers", {"count": str(count)}, timeout=TIMEOUT)
    workers = sum(process["role"] == "worker" for process in client.get("/processes").json()["processes"])
    if as_json:
        print_json({"workers": workers})
        return
    if count is not None:
        note(f"the proxy now has {count} workers")
    click.echo(workers)
