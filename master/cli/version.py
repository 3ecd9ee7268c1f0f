"""`proxyctl version`: ours, and of what we are made."""

from __future__ import annotations

import importlib.metadata
import platform

import click

from master.cli.output import json_option, print_json
from master.version import ENVOY_API, version

LIBRARIES = ("trio", "h11", "h2", "msgspec", "xds-protos")


@click.command(short_help="Print versions.")
@json_option
def command(as_json: bool) -> None:
    """Print the versions of proxyctl, of the Envoy that it follows, of Python and of the libraries."""
    versions = {
        "proxyctl": version(),
        "envoy": ENVOY_API,
        "python": platform.python_version(),
        **{library: importlib.metadata.version(library) for library in LIBRARIES},
    }
    if as_json:
        print_json(versions)
    else:
        for name, number in versions.items():
            click.echo(f"{name} {number}")
