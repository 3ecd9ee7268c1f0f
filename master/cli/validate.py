"""`proxyctl validate`: everything that is wrong with a configuration, or not supported, without running it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from master.cli.output import json_option, use_colour
from master.config import report, source
from master.config.check import check
from master.config.finding import Finding
from proxy.filters.http.python_loader import append_paths

EXIT_INVALID = 3


@click.command("validate")
@click.option("-c", "--config-path", metavar="FILE", help="Envoy bootstrap (.yaml, .yml or .json).")
@click.option("--config-yaml", metavar="TEXT", help="YAML that is merged over the file.")
@click.option("--allow-unsupported", is_flag=True, help="Fields that are not supported are warnings, not errors.")
@click.option("--filter-path", "filter_paths", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="Directory with filters in Python; repeatable.")  # fmt: skip
@json_option
def command(
    config_path: str | None,
    config_yaml: str | None,
    allow_unsupported: bool,
    filter_paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check a configuration without running it.

    Names every error at once, each with its place, its field path, what was expected and the nearest valid name.
    Exit codes: 0 valid, 3 not valid.
    """
    if config_path is None and config_yaml is None:
        raise click.UsageError("no configuration: give -c FILE, --config-yaml TEXT, or both")
    append_paths(str(Path(path).absolute()) for path in filter_paths)
    read = [source.read(config_path)] if config_path is not None else []
    if config_yaml is not None:
        read.append(source.from_option(config_yaml))
    findings: Sequence[Finding] = [one for one in read if isinstance(one, Finding)]
    locate: report.Locate = _nowhere
    if not findings:
        sources = [one for one in read if isinstance(one, source.Source)]
        checked = check(sources, allow_unsupported=allow_unsupported, version=1)
        findings, locate = checked.findings, checked.locate
    valid = all(finding.severity == "warning" for finding in findings)
    name = config_path if config_path is not None else "--config-yaml"
    if as_json:
        _print_json(name, valid, findings, locate)
    else:
        click.echo(report.render(findings, locate, color=use_colour()), nl=False)
        click.echo(f"{name}: {report.summary(findings)}" if findings else f"{name}: valid")
    sys.exit(0 if valid else EXIT_INVALID)


def _print_json(name: str, valid: bool, findings: Sequence[Finding], locate: report.Locate) -> None:
    objects = report.to_json(findings, locate)
    envelope = {
        "data": {"config": name, "valid": valid, "warnings": [one for one in objects if one["severity"] == "warning"]},
        "errors": [one for one in objects if one["severity"] == "error"],
    }
    click.echo(msgspec.json.format(msgspec.json.encode(envelope), indent=2).decode())


def _nowhere(path: tuple[str | int, ...]) -> None:
    return None
