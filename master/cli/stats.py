"""`proxyctl stats`: counters, gauges and histograms over all processes."""

from __future__ import annotations

import click

from master.cli.client import AdminClient
from master.cli.output import print_json, with_client


@click.command(short_help="Print counters, gauges and histograms.")
@click.option("--filter", "pattern", metavar="REGEX", help="Only names in which this RE2 expression is found.")
@click.option("--usedonly", is_flag=True, help="Only what is not zero.")
@click.option("--format", "form", type=click.Choice(["text", "json", "prometheus"]), default="text", show_default=True)
@with_client
def command(client: AdminClient, *, pattern: str | None, usedonly: bool, form: str, as_json: bool) -> None:
    """Print the stats in Envoy's formats."""
    query = {"format": "json" if as_json else form}
    if pattern:
        query["filter"] = pattern
    if usedonly:
        query["usedonly"] = ""
    answer = client.get("/stats", query)
    if as_json:
        print_json(answer.json()["stats"])
    else:
        click.echo(answer.text().removesuffix("\n"))
