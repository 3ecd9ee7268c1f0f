"""`python -m master.preflight`: compiles a configuration to bytes, before anything is started, bound or changed.

Options as JSON on standard input; the committed form goes to the inherited memfd `--out-fd` (exit 0), or the findings
to standard error (exit 3). It runs as `--user`: whoever wrote the file is parsed without privileges.

For a reload (`previous`) it also tells what would change, and it has to be the code that the running processes are.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from master.config.check import check
from master.config.finding import Finding
from master.config.report import render
from master.config.rotation import Outcome, rotate, settle, with_newest
from master.config.shortcut import bootstrap
from master.config.source import Source, from_option
from master.config.source import read as read_source
from master.supervisor import state
from master.template.fingerprint import fingerprint
from proxy.changes import changes
from proxy.config.bootstrap import CompiledConfig, encode
from proxy.config.common import Address, SocketAddress
from proxy.config.listener import Listener
from proxy.filters.http.python_loader import append_paths
from workers.committed import read

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXIT_INVALID, EXIT_REJECTED = 3, 5
MANIFEST_VERSION = 1


class Options(msgspec.Struct, frozen=True):
    """What `run` was told. `listen` and `upstream` are `host:port`; `version` numbers the compiled configuration.

    `states` is that of a supervisor, perhaps of another release, which wants to become this code, by version.
    `previous` and `again` are inherited descriptors of committed configurations: the one that is in effect, and one
    that shall be so again, in place of all sources. `rotate`: the former with its secrets read again. `fingerprint` is
    that of the code that runs.
    """

    config_path: str | None = None
    config_yaml: str | None = None
    listen: str | None = None
    upstream: str | None = None
    allow_unsupported: bool = False
    filter_paths: tuple[str, ...] = ()
    version: int = 1
    states: dict[str, str] | None = None
    previous: int | None = None
    again: int | None = None
    rotate: bool = False
    fingerprint: str = ""


def committed(
    config: CompiledConfig, previous: CompiledConfig | None = None, rotation: Sequence[Outcome] = ()
) -> bytes:
    """The form that is committed: length of the manifest (8 bytes, little-endian), manifest (JSON), MessagePack."""
    manifest = msgspec.json.encode(_manifest(config) | _difference(config, previous, rotation))
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
                "takes_idle": _takes_idle(listener),
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


def _difference(
    config: CompiledConfig, previous: CompiledConfig | None, rotation: Sequence[Outcome]
) -> dict[str, object]:
    """What a reload would change. What no reload can change: the admin address, which the controller has in hand."""
    if previous is None:
        return {}
    return {
        "changes": changes(previous, config),
        "same_source": config.source == previous.source and config.secrets == previous.secrets,
        "needs_restart": _needs_restart(config, previous),
        "secrets": rotation,
    }


def _needs_restart(config: CompiledConfig, previous: CompiledConfig) -> list[str]:
    """What differs and is decided when an address is bound."""
    found = ["admin.address"] if config.admin_address != previous.admin_address else []
    bound = {_place(*at): (at[0].enable_reuse_port, at[2]) for at in _addresses(previous)}
    for at in _addresses(config):
        if bound.get(_place(*at), (at[0].enable_reuse_port, at[2])) != (at[0].enable_reuse_port, at[2]):
            found.append(f"listener {at[0].name}: enable_reuse_port, or the mode, of {at[2]}")
    return found


def _addresses(config: CompiledConfig) -> Iterator[tuple[Listener, int, Address]]:
    for listener in config.listeners:
        for number, address in enumerate(listener.addresses):
            yield listener, number, address


def _place(listener: Listener, number: int, address: Address) -> tuple[object, ...]:
    """What makes it the same address: each port 0 is a port of its own."""
    own = isinstance(address, SocketAddress) and address.port == 0
    return (listener.name, number) if own else (str(address),)


def _takes_idle(listener: Listener) -> bool:
    """Whether nothing but plain HTTP happens on its connections, so that between two requests there is no state."""
    return all([plugin.type_url for plugin in chain.filters] == [HCM] for chain in listener.filter_chains)


def _address(address: Address) -> dict[str, object]:
    if isinstance(address, SocketAddress):
        return {"host": address.host, "port": address.port}
    return {"path": address.path, "mode": address.mode}


def _sources(options: Options) -> list[Source | Finding]:
    """In the order in which they are merged."""
    sources: list[Source | Finding] = []
    if options.config_path is not None:
        sources.append(read_source(options.config_path))
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
    gc.disable()  # this process ends soon, and its trees hold no cycles that would be worth a tenth of its time
    options = msgspec.json.decode(sys.stdin.buffer.read(), type=Options)
    refusal = can_take_over(options.states) if options.states is not None else None
    if refusal is not None:
        sys.stderr.write(refusal)
        return EXIT_REJECTED
    if options.fingerprint and options.fingerprint != fingerprint():
        sys.stderr.write("the code on disk changed since the proxy started; run `proxyctl restart`")
        return EXIT_REJECTED
    previous = None if options.previous is None else read(options.previous)
    rotation: list[Outcome] = []
    config: CompiledConfig | None
    text = ""
    try:
        if options.rotate and previous is not None:
            config, rotation = rotate(msgspec.structs.replace(previous, version=options.version))
        elif options.again is not None:
            config = _again(options, previous)
        else:
            config, text = compile_options(options)
    except msgspec.DecodeError as error:
        sys.stderr.write(f"another release compiled that configuration: {error}")
        return EXIT_REJECTED
    sys.stderr.write(text)
    if config is None:
        return EXIT_INVALID
    if previous is not None:
        config = settle(config, previous.secrets)
    with os.fdopen(arguments.out_fd, "wb", closefd=False) as out:
        out.write(committed(config, previous, rotation))
    return 0


def _again(options: Options, previous: CompiledConfig | None) -> CompiledConfig:
    """What came from files of secrets does not go back."""
    assert options.again is not None
    append_paths(options.filter_paths)
    config = msgspec.structs.replace(read(options.again), version=options.version)
    return with_newest(config, previous.secrets if previous is not None else ())


if __name__ == "__main__":
    sys.exit(main())
