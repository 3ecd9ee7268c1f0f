"""`proxyctl drain`: refuse new connections, keep the open ones."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import note, print_json, with_client


@click.command(short_help="Close the listeners; open connections stay.")
@with_client
def command(client: AdminClient, *, as_json: bool) -> None:
    """Close every listener at once: new connections are refused, open ones are served on.

    There is no way back but a restart. To leave a load balancer's rotation first, use `proxyctl healthcheck fail`.
    """
    client.post("/drain_listeners")
    if as_json:
        print_json({"drained": True})
    else:
        note("the listeners are closed; open connections stay")
