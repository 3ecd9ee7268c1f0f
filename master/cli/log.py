"""`proxyctl log`: what each component logs, also for a while only."""

from __future__ import annotations

import click

from master.cli.client import AdminClient, UsageError
from master.cli.duration import seconds
from master.cli.output import duration_shown, note, print_json, print_table, with_client


@click.command(short_help="Show or change log levels, for a while if wanted.")
@click.argument("changes", metavar="[[COMPONENT=]LEVEL]...", nargs=-1)
@click.option(
    "--for",
    "duration",
    type=seconds,
    metavar="TIME",
    help="Take the change back after 60s, 5m or 1h, whatever happens.",
)
@with_client
def command(client: AdminClient, *, changes: tuple[str, ...], duration: float | None, as_json: bool) -> None:
    """Change the level of COMPONENT, or of all, in every process; without arguments, show the levels.

    \b
    proxyctl log debug --for 60s
    proxyctl log proxy.http=debug dns=warning
    """
    query = _query(changes, _components(client.post("/logging").text()))
    if duration is not None and not changes:
        raise UsageError("--for needs a change of levels")
    if changes:
        after = {"for": f"{duration:g}"} if duration is not None else {}
        client.post("/logging", {**query, **after})
    levels = _components(client.post("/logging").text())
    if as_json:
        print_json(levels)
        return
    if duration is not None:
        note(f"the proxy takes this back after {duration_shown(duration)}")
    print_table(("COMPONENT", "LEVEL"), list(levels.items()))


def _query(changes: tuple[str, ...], components: dict[str, str]) -> dict[str, str]:
    levels: dict[str, str] = {}
    for change in changes:
        component, separator, level = change.rpartition("=")
        levels |= {component: level} if separator else dict.fromkeys(components, level)
    return {"paths": ",".join(f"{component}:{level}" for component, level in levels.items())}


def _components(text: str) -> dict[str, str]:
    """The levels of an answer of `/logging`."""
    return dict(line.strip().split(": ", 1) for line in text.splitlines()[1:] if line.strip())
