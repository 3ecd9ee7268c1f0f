"""`proxyctl certs`: every certificate, where it is used, and how long it is good for; a check for cron."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from master.cli.client import AdminClient
from master.cli.output import note, plain, print_json, print_table, with_client

HEADINGS = ("USED BY", "AS", "SUBJECT", "NAMES", "DAYS LEFT", "EXPIRES", "FILE")
EXIT_TOO_FEW_DAYS = 1


@click.command(short_help="Show certificates and how long they are good for.")
@click.option("--min-days", type=click.IntRange(min=0), metavar="N", help="Exit with 1 if one has fewer days left.")
@with_client
def command(client: AdminClient, *, min_days: int | None, as_json: bool) -> None:
    """Show every certificate that listeners and clusters present (own) or trust (ca), those first that expire first.

    With --min-days only those that have fewer days left, and the exit code is 1 if there is one: a check for cron.
    """
    found = sorted(_entries(client.get("/certs", {"usage": ""}).json()), key=lambda entry: entry["expiration_time"])
    if min_days is not None:
        found = [entry for entry in found if entry["days_until_expiration"] < min_days]
    if as_json:
        print_json(found)
    elif found:
        print_table(HEADINGS, [_row(entry) for entry in found])
    elif min_days is not None:
        note(f"every certificate has {min_days} days or more left")
    else:
        note("there are no certificates")
    if found and min_days is not None:
        sys.exit(EXIT_TOO_FEW_DAYS)


def _entries(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for context in page["certificates"]:
        for kind, role in (("cert_chain", "own"), ("ca_cert", "ca")):
            for entry in context[kind]:
                yield {**entry, "role": role, "days_until_expiration": int(entry["days_until_expiration"])}


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    names = [name for san in entry["subject_alt_names"] for name in san.values()]
    return (
        plain(entry["used_by"]),
        entry["role"],
        plain(entry["subject"]),
        plain(", ".join(names)) or None,
        entry["days_until_expiration"],
        entry["expiration_time"],
        plain(entry["path"]),
    )
