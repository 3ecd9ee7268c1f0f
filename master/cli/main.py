"""`proxyctl`: the one command. Its parts are listed below and imported only when they are used."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import click


class Entry(NamedTuple):
    """`module` exports `command`; `help` is its line in `proxyctl --help`."""

    name: str
    module: str
    help: str


COMMANDS = (
    Entry("run", "master.cli.run", "Run the proxy in the foreground."),
    Entry("validate", "master.cli.validate", "Check a configuration without running it."),
    Entry("doctor", "master.cli.doctor", "Find what would go wrong on this machine."),
    Entry("systemd", "master.cli.systemd", "Write units that run the proxy as a service."),
    Entry("ps", "master.cli.ps", "Show every process of the proxy."),
    Entry("workers", "master.cli.workers", "Show or change the number of workers."),
    Entry("sessions", "master.cli.sessions", "Show the oldest connections and what they wait for."),
    Entry("why", "master.cli.why", "Show why requests failed, newest first."),
    Entry("explain", "master.cli.explain", "Tell what would become of a request, and why."),
    Entry("explain-code", "master.cli.explain_code", "Explain a response flag or detail."),
    Entry("stats", "master.cli.stats", "Print counters, gauges and histograms."),
    Entry("clusters", "master.cli.clusters", "Show clusters and their hosts."),
    Entry("listeners", "master.cli.listeners", "Show listeners and where they are bound."),
    Entry("certs", "master.cli.certs", "Show certificates and how long they are good for."),
    Entry("config-dump", "master.cli.config_dump", "Print the configuration that is in effect."),
    Entry("log", "master.cli.log", "Show or change log levels, for a while if wanted."),
    Entry("healthcheck", "master.cli.healthcheck", "Fail or pass health checks."),
    Entry("drain", "master.cli.drain", "Close the listeners; open connections stay."),
    Entry("reload", "master.cli.reload", "Apply what has changed in the configuration."),
    Entry("diff", "master.cli.diff", "Show what a reload would change."),
    Entry("config", "master.cli.config", "Show earlier configurations, or go back to one."),
    Entry("restart", "master.cli.restart", "Take over code and configuration; drop nothing."),
    Entry("shutdown", "master.cli.shutdown", "Stop the proxy."),
    Entry("completion", "master.cli.completion", "Print the completion script of a shell."),
    Entry("version", "master.cli.version", "Print versions."),
)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is looked up, and not for the list of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in COMMANDS:
            if entry.name == cmd_name:
                command: click.Command = importlib.import_module(entry.module).command
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            from master.config.suggest import nearest  # imported for this message alone

            if meant := nearest(args[0], self.list_commands(ctx)):
                ctx.fail(f"No such command '{args[0]}'; did you mean '{meant}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.help) for entry in COMMANDS])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--runtime-dir",
    type=click.Path(file_okay=False),
    help="Which proxy is meant: where its lock, pid file and admin socket are.  [env: TRIREME_RUNTIME_DIR; default: "
    "/run/trireme for root, else $XDG_RUNTIME_DIR/trireme or /tmp/trireme-UID]",
)
def main(runtime_dir: str | None) -> None:
    """Trireme: Envoy's model of a proxy, in Python.

    \b
    proxyctl validate -c envoy.yaml   is the file good?
    proxyctl run -c envoy.yaml        serve it
    proxyctl why                      (in another terminal) what has failed, and why

    \b
    Exit codes: 0 ok · 1 failed or found something · 2 usage · 3 invalid configuration
                4 not running · 5 rejected · 6 timeout · 7 no route (explain)
    """


if __name__ == "__main__":
    main(prog_name="proxyctl")
