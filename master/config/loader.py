"""Sources → one message: parse, convert strictly, merge, check the protos' own rules. All errors at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.config import json_source, strict, validate_rules, yaml_source
from master.config.echo import without_echoes
from master.config.finding import Finding, Position
from master.config.positions import Locator
from master.config.source import Source

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """`message` is None if a source is no tree at all. It is complete only if `findings` has no error.

    `locate` takes paths in proto spelling with the indexes of the merged message; it reads the sources a second time
    when it is first called.
    """

    message: Any
    findings: list[Finding]
    locate: Callable[[Path], Position | None]


def load(sources: Sequence[Source], kind: type[Any] = bootstrap_pb2.Bootstrap) -> Loaded:
    """Loads `sources`, each merged over the one before as Envoy merges `--config-yaml` over the file; `kind` is the
    class of the message.
    """
    parsed = [(yaml_source if source.format == "yaml" else json_source).parse(source) for source in sources]
    findings = [finding for result in parsed for finding in result.findings]
    locator = Locator(
        [source for source, result in zip(sources, parsed, strict=True) if result.root is not None],
        kind.DESCRIPTOR,
    )
    roots = [result.root for result in parsed if result.root is not None]
    merged: Any = kind()
    broken: list[Finding] = []
    for index, root in enumerate(roots):
        message = kind()
        for finding in strict.fill(message, root):
            broken.append(dataclasses.replace(finding, path=locator.to_merged(index, finding.path)))
            findings.append(dataclasses.replace(finding, position=locator.in_source(index, finding.path)))
        merged.MergeFrom(message)
    if len(roots) < len(sources):
        return Loaded(None, findings, locator)
    findings += without_echoes(validate_rules.validate(merged), broken)
    return Loaded(merged, findings, locator)
