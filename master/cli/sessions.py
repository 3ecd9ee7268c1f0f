"""`proxyctl sessions`: who is connected, since when, and what each waits for."""

from __future__ import annotations

from typing import Any

import click

from master.cli.client import AdminClient
from master.cli.duration import seconds
from master.cli.output import duration_shown, note, plain, print_json, print_table, with_client
from proxy.sessions import MAX_SESSIONS

HEADINGS = ("PEER", "LISTENER", "AGE", "GEN", "WORKER", "DOES", "FOR", "REQUEST", "ROUTE", "CLUSTER", "WAITS FOR")


@click.command(short_help="Show the oldest connections and what they wait for.")
@click.option("--older", type=seconds, default="0", metavar="TIME", help="Only those open for longer, as 30s or 5m.")
@click.option("--listener", default="", metavar="NAME", help="Only those of this listener.")
@click.option("--limit", type=click.IntRange(1, MAX_SESSIONS), default=MAX_SESSIONS, show_default=True)
@with_client
def command(client: AdminClient, *, older: float, listener: str, limit: int, as_json: bool) -> None:
    """Show downstream connections of every worker, also of generations that drain, the oldest first."""
    found = client.get("/sessions", {"older": f"{older:g}", "listener": listener, "limit": str(limit)}).json()
    if as_json:
        print_json(found)
        return
    print_table(HEADINGS, [_row(session) for session in found["sessions"]])
    if found["total"] > len(found["sessions"]):
        note(f"{len(found['sessions'])} of {found['total']} connections; --older, --listener choose among them")
    for worker in found["silent"]:
        note(f"worker {worker['worker']} of generation {worker['generation']} (pid {worker['pid']}) did not answer")


def _row(session: dict[str, Any]) -> tuple[object, ...]:
    return (
        session["peer"],
        plain(session["listener"]),
        duration_shown(session["age"]),
        session["generation"],
        session["worker"],
        session["kind"],
        duration_shown(session["since"]),
        plain(session["request"]) or None,
        plain(session["route"]) or None,
        plain(session["cluster"]) or None,
        session["waits_for"],
    )
