"""`python -m master.preflight`: compiles a configuration to bytes, before anything is started or bound.

Options as JSON on standard input; the committed form goes to the inherited memfd `--out-fd` (exit 0), or the findings
to standard error (exit 3). It runs as `--user`: whoever wrote the file is parsed without privileges.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping

import msgspec

from master.config.check import check
from master.config.finding import Finding
from master.config.report import render
from master.config.shortcut import bootstrap
from master.config.source import Source, from_option, read
from master.supervisor import state
from proxy.config.bootstrap import CompiledConfig, encode
from proxy.config.common import Address, SocketAddress
from proxy.filters.http.python_loader import append_paths

EXIT_INVALID, EXIT_REJECTED = 3, 5
MANIFEST_VERSION = 1


class Options(msgspec.Struct, frozen=True):
    """What `run` was told. `listen` and `upstream` are `host:port`; `version` numbers the compiled configuration.

    `states` is that of a supervisor, perhaps of another release, which wants to become this code, by version.
    """

    config_path: str | None = None
    config_yaml: str | None = None
    listen: str | None = None
    upstream: str | None = None
    allow_unsupported: bool = False
    filter_paths: tuple[str, ...] = ()
    version: int = 1
    states: dict[str, str] | None = None


def committed(config: CompiledConfig) -> bytes:
    """The form that is committed: length of the manifest (8 bytes, little-endian), manifest (JSON), MessagePack."""
    manifest = msgspec.json.encode(_manifest(config))
    return len(manifest).to_bytes(8, "little") + manifest + encode(config)


def _manifest(config: CompiledConfig) -> dict[str, object]:
    """What the supervisor, which reads no MessagePack, has to know: sockets, and sizes of the shared tables."""
    return {
        "version": MANIFEST_VERSION,
        "listeners": [
            {
                "name": listener.name,
                "addresses": [_address(address) for address in listener.addresses],
                "reuse_port": listener.enable_reuse_port,
                "backlog": listener.backlog,
            }
            for listener in config.listeners
        ],
        "admin": _address(config.admin_address) if config.admin_address else None,
        "clusters": len(config.clusters),
        "state_versions": state.READABLE,
        "hosts": sum(
            len(locality.hosts) for cluster in config.endpoints.clusters.values() for locality in cluster.localities
        ),
    }


def _address(address: Address) -> dict[str, object]:
    if isinstance(address, SocketAddress):
        return {"host": address.host, "port": address.port}
    return {"path": address.path, "mode": address.mode}


def _sources(options: Options) -> list[Source | Finding]:
    """In the order in which they are merged."""
    sources: list[Source | Finding] = []
    if options.config_path is not None:
        sources.append(read(options.config_path))
    if options.listen is not None or options.upstream is not None:
        sources.append(_shortcut(options))
    if options.config_yaml is not None:
        sources.append(from_option(options.config_yaml))
    return sources


def _shortcut(options: Options) -> Source | Finding:
    if options.listen is None or options.upstream is None:
        return Finding("address", (), "--listen and --upstream go together", "both of them")
    try:
        return Source("--listen --upstream", bootstrap(options.listen, options.upstream), "yaml")
    except ValueError as error:
        return Finding("address", (), f"--listen, --upstream: {error}", "for example 127.0.0.1:8080")


def compile_options(options: Options) -> tuple[CompiledConfig | None, str]:
    """The configuration, or None; and what there is to tell the user (warnings too)."""
    append_paths(options.filter_paths)
    sources = _sources(options)
    unreadable = [source for source in sources if isinstance(source, Finding)]
    if not sources:
        unreadable.append(Finding("file", (), "no configuration", "a file, --config-yaml or --listen/--upstream"))
    if unreadable:
        return None, render(unreadable, lambda path: None, color=False)
    checked = check(
        [source for source in sources if isinstance(source, Source)],
        allow_unsupported=options.allow_unsupported,
        version=options.version,
    )
    return checked.config, render(checked.findings, checked.locate, color=False)


def can_take_over(states: Mapping[str, str]) -> str | None:
    """Why our supervisor could not go on from a state like one of these; None if it could."""
    importlib.import_module("master.supervisor.main")  # what it imports must be there
    try:
        version = state.common(int(version) for version in states)
        state.decode(states[str(version)].encode())
    except state.StateError as error:
        return str(error)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m master.preflight")
    parser.add_argument("--out-fd", type=int, required=True, help="inherited memfd that takes the result")
    arguments = parser.parse_args()
    options = msgspec.json.decode(sys.stdin.buffer.read(), type=Options)
    refusal = can_take_over(options.states) if options.states is not None else None
    if refusal is not None:
        sys.stderr.write(refusal)
        return EXIT_REJECTED
    config, text = compile_options(options)
    sys.stderr.write(text)
    if config is None:
        return EXIT_INVALID
    with os.fdopen(arguments.out_fd, "wb", closefd=False) as out:
        out.write(committed(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
