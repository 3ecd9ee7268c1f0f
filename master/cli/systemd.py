"""`proxyctl systemd install`: the units that run the proxy as a service."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click

from master.cli import run
from master.cli.client import AdminError, RejectedError, UsageError
from master.cli.output import note
from master.config import report, source
from master.config.check import check
from master.config.finding import Finding
from master.doctor import systemd
from master.units import access, render, sockets, writing
from proxy.config.bootstrap import CompiledConfig
from proxy.filters.http.python_loader import append_paths

UNIT_DIRECTORY = "/etc/systemd/system"
SYSTEMD_UNKNOWN = 252  # assumed where there is no systemd to ask: what it understands, later ones do


@click.group(name="systemd", short_help="Write units that run the proxy as a service.")
def command() -> None:
    """Run the proxy as a service of systemd."""


@command.command(name="install")
@click.option("-c", "--config-path", metavar="FILE", required=True, type=click.Path(exists=True, dir_okay=False),
              help="The bootstrap that the service runs.")  # fmt: skip
@click.option("--user", default="", metavar="NAME", help="Run as this user; without it, as one that systemd makes up.")
@click.option(
    "--name", default="trireme", show_default=True, help="Of the units, and of directories in /run and /var/log."
)
@click.option("--socket", "wanted", multiple=True, metavar="PORT",
              help="Also a .socket unit for this port or address of a listener; repeatable.")  # fmt: skip
@click.option("--allow-unsupported", is_flag=True, help="As for `proxyctl run`.")
@click.option("--filter-path", "filter_paths", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="As for `proxyctl run`.")  # fmt: skip
@click.option("--unit-dir", default=UNIT_DIRECTORY, show_default=True, type=click.Path(file_okay=False))
@click.option("--dry-run", is_flag=True, help="Print the units, and write nothing.")
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED)
def install(
    config_path: str,
    user: str,
    name: str,
    wanted: tuple[str, ...],
    allow_unsupported: bool,
    filter_paths: tuple[str, ...],
    unit_dir: str,
    dry_run: bool,
    run_options: tuple[str, ...],
) -> None:
    """Write a unit that runs the proxy, sandboxed, with a watchdog and with its sockets kept over restarts.

    Further options of `proxyctl run` go after `--`:

    \b
    proxyctl systemd install -c /etc/trireme/envoy.yaml -- --concurrency 4

    Exit codes: 0 written, or already there; 2 usage; 3 invalid configuration; 5 refused
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,30}", name):
        raise click.UsageError(f"--name {name}: letters, digits, - and _ only")
    config = str(Path(config_path).absolute())
    paths = [str(Path(path).absolute()) for path in filter_paths]
    append_paths(paths)
    options = ["--allow-unsupported"] * allow_unsupported + [word for path in paths for word in ("--filter-path", path)]
    drain_time = _drain_time(config, [*options, *run_options])
    try:
        proxyctl = _proxyctl()
        settings = render.Settings(
            name=name,
            version=systemd.number(systemd.version()) or SYSTEMD_UNKNOWN,
            proxyctl=proxyctl,
            config=config,
            options=options,
            run_options=run_options,
            user=user,
            drain_time=drain_time,
            listen=_streams(_compiled(config, allow_unsupported, name), wanted),
        )
        units = render.units(settings)
        if dry_run:
            for unit, text in units.items():
                click.echo(f"# {Path(unit_dir) / unit}\n{text}")
        elif faults := list(access.faults(user, proxyctl, config)):
            raise RejectedError("; ".join(faults))
        else:
            _write(Path(unit_dir), units, name)
    except AdminError as error:
        note(f"error: {error}")
        sys.exit(error.code)


def _drain_time(config: str, arguments: list[str]) -> float:
    """How long a stop may take; a usage error if `proxyctl run` does not take these options."""
    context = run.command.make_context("run", ["-c", config, *arguments])
    drain_time: float = context.params["shutdown_drain_time_s"]
    return drain_time


def _proxyctl() -> str:
    """This command, as a service can start it."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name("proxyctl")):
        if path.name == "proxyctl" and os.access(path, os.X_OK):
            return str(path.absolute())
    raise RejectedError(
        "`proxyctl` is not installed (this is a source tree): `pip install` it where the service finds it"
    )


def _compiled(path: str, allow_unsupported: bool, name: str) -> CompiledConfig:
    """The configuration, as it will be found when the unit has made its directories."""
    read = source.read(path)
    findings = [read] if isinstance(read, Finding) else []
    if not isinstance(read, Finding):
        checked = check([read], allow_unsupported=allow_unsupported, version=1, to_come=(f"/var/log/{name}",))
        if checked.config is not None:
            return checked.config
        findings = checked.findings
    raise InvalidConfigError(f"{path}: {report.summary(findings)}; `proxyctl validate -c {path}` says where and why")


def _streams(config: CompiledConfig, wanted: tuple[str, ...]) -> list[str]:
    try:
        return sockets.streams(config, wanted)
    except LookupError as error:
        raise UsageError(f"--socket: {error.args[0]}") from error


def _write(directory: Path, units: dict[str, str], name: str) -> None:
    try:
        changed = writing.write(directory, units)
    except (OSError, writing.ForeignUnitError) as error:
        raise RejectedError(str(error)) from error
    for unit in units:
        note(f"{directory / unit}: {'written' if unit in changed else 'unchanged'}")
    first = f"{name}.socket {name}.service" if len(units) > 1 else f"{name}.service"
    note(f"next: systemctl daemon-reload && systemctl enable --now {first}")


class InvalidConfigError(AdminError):
    code = 3
