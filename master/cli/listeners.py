"""`proxyctl listeners`: where each one is bound."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import print_json, print_table, with_client


@click.command(short_help="Show listeners and where they are bound.")
@with_client
def command(client: AdminClient, *, as_json: bool) -> None:
    """Show every listener with the addresses that it is really bound to (port 0 resolved)."""
    lines = client.get("/listeners").text().splitlines()
    pairs = [line.split("::", 1) for line in lines]
    if as_json:
        print_json([{"name": name, "address": address} for name, address in pairs])
    else:
        print_table(("LISTENER", "ADDRESS"), pairs)
