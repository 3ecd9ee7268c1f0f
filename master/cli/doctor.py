"""`proxyctl doctor`: what would go wrong on this machine, with the remedy."""

from __future__ import annotations

import sys

import click

from master.cli.client import AdminError
from master.cli.output import json_option, note, plain, print_json, runtime_dir, use_colour
from master.doctor.examine import examine
from master.doctor.finding import Finding

COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


@click.command(short_help="Find what would go wrong on this machine.")
@click.option("-c", "--config-path", metavar="FILE", help="Also check the addresses and files of this bootstrap.")
@click.option("--user", default="", help="As `proxyctl run --user`: may that user read everything?")
@click.option("--group", default="", help="As `proxyctl run --group`.")
@json_option
@click.pass_context
def command(context: click.Context, config_path: str | None, user: str, group: str, as_json: bool) -> None:
    """Look for the faults of a first day: limits, kernel features, ports, rights, leftovers; each with its remedy.

    Exit codes: 0 nothing will fail (there may be warnings), 1 something will.
    """
    findings = list(
        examine(runtime_dir=runtime_dir(context), config_path=config_path, user=user, group=group)
    )  # fmt: skip
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _print(finding)
    faults = sum(finding.level == "fault" for finding in findings)
    if faults:
        if not as_json:
            note(f"{faults} of {len(findings)} checks found a fault")
        sys.exit(AdminError.code)


def _print(finding: Finding) -> None:
    level = f"{finding.level:<8}"
    click.echo(f"{click.style(level, fg=COLOURS[finding.level]) if use_colour() else level}", nl=False)
    click.echo(plain(f"{finding.check}: {finding.text}"))
    if finding.remedy:
        click.echo(plain(f"        → {finding.remedy}"))
