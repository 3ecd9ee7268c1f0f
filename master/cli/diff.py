"""`proxyctl diff`: what a reload would do."""

from __future__ import annotations

import sys

import click

from master.cli.client import AdminClient
from master.cli.output import note, print_json, with_client
from master.cli.reload import follow, print_changes

EXIT_FOUND = 1


@click.command(short_help="Show what a reload would change.")
@with_client
def command(client: AdminClient, *, as_json: bool) -> None:
    """Show what `proxyctl reload` would do now, resource by resource, and how many connections would drain. Changes
    nothing.

    \b
    Exit codes: 0 nothing would change · 1 something would · 3 invalid configuration
    """
    client.post("/reload/begin", {"show": ""})
    status = follow(client, quiet=True)
    if as_json:
        print_json({"changes": status["changes"], "warnings": status["warnings"]})
    else:
        for warning in status["warnings"]:
            note(warning)
        print_changes(status)
        if not status["changes"]:
            click.echo("the configuration is the same")
    sys.exit(EXIT_FOUND if status["changes"] else 0)
