"""`proxyctl healthcheck fail|ok`: leave a load balancer's rotation, and come back."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import note, print_json, with_client


@click.command(short_help="Fail or pass health checks.")
@click.argument("verdict", type=click.Choice(["fail", "ok"]))
@with_client
def command(client: AdminClient, *, verdict: str, as_json: bool) -> None:
    """`fail`: `/ready` answers 503 and every connection ends with its next response, so that clients and load
    balancers go elsewhere; nothing is refused. `ok` takes it back.
    """
    client.post(f"/healthcheck/{verdict}")
    if as_json:
        print_json({"healthcheck": verdict})
    else:
        back = "; `proxyctl healthcheck ok` takes it back" if verdict == "fail" else ""
        note(f"health checks are answered with {verdict}{back}")
