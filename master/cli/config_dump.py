"""`proxyctl config-dump`: the configuration in effect, secrets blanked."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import print_json, with_client


@click.command(short_help="Print the configuration that is in effect.")
@click.option("--resource", metavar="LIST", help="Only this list: static_clusters, static_listeners, …")
@click.option("--mask", metavar="PATHS", help="Only these fields (a protobuf FieldMask).")
@click.option("--name-regex", metavar="REGEX", help="Only resources whose whole name matches.")
@with_client
def command(
    client: AdminClient, *, resource: str | None, mask: str | None, name_regex: str | None, as_json: bool
) -> None:
    """Print Envoy's ConfigDump as JSON."""
    given = {"resource": resource, "mask": mask, "name_regex": name_regex}
    answer = client.get("/config_dump", {name: value for name, value in given.items() if value})
    if as_json:
        print_json(answer.json()["configs"])
    else:
        click.echo(answer.text().removesuffix("\n"))
