"""`proxyctl run`: becomes the supervisor by exec, so that the process a user started is the one that stays."""

from __future__ import annotations

import os
from pathlib import Path

import click

from master.cli.runtime_dir import default_runtime_dir
from master.supervisor.options import OPTIONS_ENV, Options
from master.supervisor.python import OWN
from proxy.log import LEVELS


def _size(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Bytes, or `512M`, in powers of 1024."""
    number, unit = (value[:-1], value[-1].upper()) if value[-1:].isalpha() else (value, "")
    if not (number.isascii() and number.isdecimal()) or unit not in ("", "K", "M", "G"):
        raise click.BadParameter(f"{value!r} is not a size; write it as 512M")
    return int(number) << {"": 0, "K": 10, "M": 20, "G": 30}[unit]


@click.command(name="run", short_help="Run the proxy in the foreground.")
@click.option(
    "-c", "--config-path", type=click.Path(exists=True, dir_okay=False), help="Envoy v3 bootstrap, YAML or JSON."
)
@click.option("--config-yaml", help="Bootstrap as text; merged over the file.")
@click.option("--listen", metavar="HOST:PORT", help="With --upstream: proxy HTTP without any file.")
@click.option("--upstream", metavar="HOST:PORT", help="Where requests go; needs --listen.")
@click.option("--concurrency", type=click.IntRange(1, 60), help="Workers; default: one per CPU.")
@click.option("--allow-unsupported", is_flag=True, help="Warn about valid Envoy fields that are not implemented.")
@click.option("--filter-path", "filter_paths", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="Directory with filters in Python; repeatable.")  # fmt: skip
@click.option("--user", default="", help="Workers and controller become this user (needs root).")
@click.option("--group", default="", help="…and this group.")
@click.option(
    "--runtime-dir", type=click.Path(file_okay=False), help="Lock, pid file and admin socket of this instance."
)
@click.option("-l", "--log-level", type=click.Choice(list(LEVELS)), default="info", show_default=True)
@click.option("--log-path", type=click.Path(dir_okay=False), help="Log to this file; USR1 reopens it.")
@click.option("--drain-time-s", type=click.FloatRange(min=0), default=600.0, show_default=True,
              help="How long a listener drains before it closes.")  # fmt: skip
@click.option("--drain-strategy", type=click.Choice(["gradual", "immediate"]), default="gradual", show_default=True,
              help="Whether its connections leave one by one, or each with its next response.")  # fmt: skip
@click.option("--parent-shutdown-time-s", type=click.FloatRange(min=0), default=900.0, show_default=True,
              help="How long the old generation may finish its connections after a hot restart.")  # fmt: skip
@click.option("--shutdown-drain-time-s", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="How long requests in hand may take after SIGTERM.")  # fmt: skip
@click.option("--shutdown-idle-time-s", type=click.FloatRange(min=0), default=5.0, show_default=True,
              help="How long idle connections may wait for one more response after SIGTERM.")  # fmt: skip
@click.option("--worker-max-rss", callback=_size, default="0", metavar="SIZE",
              help="Replace a worker whose memory exceeds this, gracefully: 512M, 2G; 0: never.")  # fmt: skip
@click.option("--slow-request-s", type=click.FloatRange(min=0), default=1.0, show_default=True,
              help="`proxyctl why` shows requests answered later than this too; 0: none.")  # fmt: skip
@click.pass_context
def command(
    context: click.Context,
    config_path: str | None,
    config_yaml: str | None,
    listen: str | None,
    upstream: str | None,
    concurrency: int | None,
    allow_unsupported: bool,
    filter_paths: tuple[str, ...],
    user: str,
    group: str,
    runtime_dir: str | None,
    log_level: str,
    log_path: str | None,
    drain_time_s: float,
    drain_strategy: str,
    parent_shutdown_time_s: float,
    shutdown_drain_time_s: float,
    shutdown_idle_time_s: float,
    worker_max_rss: int,
    slow_request_s: float,
) -> None:
    """Run the proxy in the foreground.

    \b
    Signals: TERM graceful stop · INT the same, twice at once · USR1 reopen logs · TTIN/TTOU one worker more/less
             USR2 hot restart (see `proxyctl restart`) · HUP reload (see `proxyctl reload`)
    Exit codes: 0 stopped · 1 failed · 2 usage · 3 invalid configuration · 5 address or directory in use
    """
    if (listen is None) != (upstream is None):
        raise click.UsageError("--listen and --upstream belong together")
    if config_path is None and config_yaml is None and listen is None:
        raise click.UsageError("nothing to run: give -c FILE, --config-yaml TEXT, or --listen with --upstream")
    if listen is not None and (config_path is not None or config_yaml is not None):
        raise click.UsageError("--listen/--upstream stand alone: they replace -c and --config-yaml")
    if (user or group) and os.geteuid() != 0:
        raise click.UsageError("--user and --group need root")
    directory = runtime_dir or context.find_root().params.get("runtime_dir") or default_runtime_dir()
    options = Options(
        runtime_dir=str(Path(directory).absolute()),
        config_path=str(Path(config_path).absolute()) if config_path else None,
        config_yaml=config_yaml,
        listen=listen,
        upstream=upstream,
        allow_unsupported=allow_unsupported,
        filter_paths=tuple(str(Path(path).absolute()) for path in filter_paths),
        concurrency=concurrency or len(os.sched_getaffinity(0)),
        user=user,
        group=group,
        log_level=log_level,
        log_path=str(Path(log_path).absolute()) if log_path else "",
        drain_time=drain_time_s,
        drain_strategy=drain_strategy.capitalize(),
        parent_shutdown_time=parent_shutdown_time_s,
        shutdown_drain_time=shutdown_drain_time_s,
        shutdown_idle_time=shutdown_idle_time_s,
        worker_max_rss=worker_max_rss,
        slow_request=slow_request_s,
    )
    shown = ("-c", config_path) if config_path else ()
    arguments = OWN.command("master.supervisor", *shown)  # the arguments are for `ps` alone
    os.execve(arguments[0], arguments, OWN.environment(**{OPTIONS_ENV: options.to_json()}))
