"""The one way from sources to a compiled configuration: of `validate`, of `run`, and of every reload."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

from master.config.compile import compile_bootstrap
from master.config.echo import without_echoes
from master.config.finding import Finding, Position
from master.config.loader import load
from master.config.sds import read_secret
from master.config.source import Source
from master.config.unsupported import find_unsupported
from proxy.config.bootstrap import CompiledConfig


@dataclasses.dataclass(frozen=True)
class Checked:
    """`config` is None if any finding is an error. `locate` gives the position of a finding's path."""

    config: CompiledConfig | None
    findings: list[Finding]
    locate: Callable[[tuple[str | int, ...]], Position | None]


def check(
    sources: Sequence[Source], *, allow_unsupported: bool, version: int, to_come: Collection[str] = ()
) -> Checked:
    """Loads, looks for unsupported fields, compiles. With `allow_unsupported` such fields are warnings, and dropped.

    `to_come` are directories that will be there, and the proxy's own, once it runs.
    """
    loaded = load(sources)
    findings = list(loaded.findings)
    config = None
    if loaded.message is not None:
        unsupported = find_unsupported(loaded.message)
        config, faults = compile_bootstrap(
            loaded.message,
            version=version,
            unsupported=[finding.path for finding in unsupported],
            to_come=to_come,
            read_secret=read_secret,
        )
        if allow_unsupported:
            unsupported = [dataclasses.replace(finding, severity="warning") for finding in unsupported]
        findings += unsupported + without_echoes(faults, loaded.findings)
    if any(finding.severity == "error" for finding in findings):
        config = None
    return Checked(config, findings, loaded.locate)
