"""`proxyctl config`: the configurations that were in effect, and the way back to one of them."""

from __future__ import annotations

import datetime

import click

from master.cli.client import AdminClient
from master.cli.output import print_json, print_table, with_client
from master.cli.reload import finish, follow


@click.group(short_help="Show earlier configurations, or go back to one.")
def command() -> None:
    """The last 10 configurations that were in effect; they survive a hot restart."""


@command.command("history")
@with_client
def history(client: AdminClient, *, as_json: bool) -> None:
    """List them, the one in effect last."""
    entries = client.get("/reload").json()["history"]
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            entry["version"],
            datetime.datetime.fromtimestamp(entry["at"]).astimezone().isoformat(" ", "seconds"),
            entry["why"],
            "in effect" if entry["current"] else "",
        )
        for entry in entries
    ]
    print_table(("VERSION", "SINCE", "BY", ""), rows)


@command.command("rollback")
@click.argument("version", type=click.IntRange(min=1), required=False)
@with_client
def rollback(client: AdminClient, *, version: int | None, as_json: bool) -> None:
    """Apply an earlier configuration again, by default the one before the last, as a reload does.

    The file stays as it is: the next reload applies it.
    """
    client.post("/reload/rollback", {} if version is None else {"version": str(version)})
    finish(follow(client, quiet=as_json), as_json=as_json)
