"""`proxyctl why`: the last failures in words: what happened, whose fault, what decided, where to look next."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from master.cli.client import AdminClient, AdminError
from master.cli.output import note, plain, print_json, use_colour, with_client

POLL = 0.5
"""Seconds between looks with `--follow`."""
FAULTS = {"client": "the client", "us": "this proxy or its configuration", "upstream": "the upstream"}


@click.command(short_help="Show why requests failed, newest first.")
@click.argument("request_id", metavar="[ID]", required=False)
@click.option("--flag", metavar="FLAG", help="Only with this response flag (UF, UT, …), or `slow` ones.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--follow", is_flag=True, help="Go on as failures happen, oldest first, until interrupted.")
@with_client
def command(
    client: AdminClient, *, request_id: str | None, flag: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Show the last failed and slow requests with all that is known about them.

    ID is the request's x-request-id, or the beginning of it. Each worker keeps its last 256 failures, and a crash
    does not lose them. `proxyctl explain-code CODE` explains a flag or a detail of an access log.
    """
    query = {name: value for name, value in (("id", request_id), ("flag", flag)) if value}
    if follow:
        _follow(client, {**query, "limit": str(limit)}, as_json=as_json)
        return
    found = client.get("/why", {**query, "limit": str(limit)}).json()["failures"]
    if as_json:
        print_json(found)
        return
    if not found:
        note("nothing on record: no request has failed or was slow" if not query else "nothing on record for that")
        if request_id:
            sys.exit(AdminError.code)
    for failure in found:
        _print(failure)


def _follow(client: AdminClient, query: dict[str, str], *, as_json: bool) -> None:
    """Line by line with `--json`: one object per failure."""
    cursor = ""
    try:
        while True:
            answer = client.get("/why", {**query, "after": cursor}).json()
            cursor = answer["cursor"]
            for failure in reversed(answer["failures"]):
                if as_json:
                    click.echo(msgspec.json.encode(failure).decode())
                else:
                    _print(failure)
            query["limit"] = "10000"
            time.sleep(POLL)
    except KeyboardInterrupt:
        return


def _print(failure: dict[str, Any]) -> None:
    head = plain(_head(failure))
    click.echo(click.style(head, bold=True) if use_colour() else head)
    for name, text in _lines(failure):
        click.echo(f"  {name:<9}{plain(text)}")
    click.echo()


def _head(failure: dict[str, Any]) -> str:
    moment = datetime.datetime.fromtimestamp(failure["when"]).astimezone()
    flags = "slow" if failure["kind"] == "slow" else failure["flags"]
    request = f"{failure['method']} {failure['authority']}{failure['path']}" if failure["method"] else "(no request)"
    if failure["protocol"] == "TCP":
        request = "(a TCP connection)"
    if failure["protocol"] == "TLS":
        request = f"(a TLS connection to {failure['authority'] or 'no name'})"
    status = failure["status"] or "-"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} {flags} {status}  {request}"


def _lines(failure: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(heading, text) of all that is known; headings are not repeated."""
    words = failure["words"]
    yield "what", f"{words['what']}  [{failure['detail']}]" if failure["detail"] else words["what"]
    yield "fault", FAULTS[words["fault"]]
    if not any(failure["cause"] in attempt["error"] for attempt in failure["attempts"]):
        yield from _headed("cause", failure["cause"].splitlines())
    yield from _headed("attempts", list(_attempts(failure)))
    yield from _headed("decided", words["decided"])
    yield "next", words["next"]
    if words.get("explain"):
        yield "explain", words["explain"]
    yield "where", ", ".join(_place(failure))
    yield "took", ", ".join(_times(failure))


def _headed(heading: str, lines: list[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield "" if number else heading, line


def _attempts(failure: dict[str, Any]) -> Iterator[str]:
    for number, attempt in enumerate(failure["attempts"], 1):
        phase = {"connect": "connecting", "request": "sending the request", "response": "waiting for the response"}
        took = f"{attempt['seconds'] * 1000:.1f} ms"
        errno = f"{attempt['errno']}, " if attempt["errno"] else ""
        yield f"{number}. {attempt['host']}, {phase[attempt['phase']]}: {attempt['error']} ({errno}{took})"
    hidden = failure["attempts_total"] - len(failure["attempts"])
    if hidden > 0:
        yield f"({hidden} more in between)"


def _place(failure: dict[str, Any]) -> Iterator[str]:
    yield f"from {failure['downstream'] or 'an unknown client'}"
    for name in ("listener", "virtual_host", "route", "cluster", "upstream"):
        if failure[name]:
            yield f"{name.replace('_', ' ')} {failure[name]}"
    yield f"worker {failure['worker']}"
    if failure["request_id"]:
        yield f"request id {failure['request_id']}"


def _times(failure: dict[str, Any]) -> Iterator[str]:
    if failure["request_ms"] >= 0:
        yield f"request complete after {failure['request_ms']:.1f} ms"
    if failure["response_ms"] >= 0:
        yield f"response begun after {failure['response_ms']:.1f} ms"
    yield f"{failure['total_ms']:.1f} ms in all"
    yield f"{failure['bytes_received']} bytes received, {failure['bytes_sent']} sent"
    if failure["truncated"]:
        yield "(long texts are cut)"
