"""`proxyctl completion`: the script that teaches a shell our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: proxyctl completion bash > ~/.local/share/bash-completion/completions/proxyctl
    zsh:  proxyctl completion zsh > "${fpath[1]}/_proxyctl"
    fish: proxyctl completion fish > ~/.config/fish/completions/proxyctl.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows bash, zsh and fish"
    click.echo(kind(context.find_root().command, {}, "proxyctl", "_PROXYCTL_COMPLETE").source())
