"""A plain front end until the strict loader is in: YAML or JSON text → bootstrap message, one fault at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  the types that `Any` may hold
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from google.protobuf import json_format

from master.config.finding import Finding


@dataclasses.dataclass
class Source:
    name: str
    text: str
    format: Literal["yaml", "json"]


@dataclasses.dataclass
class Loaded:
    message: Any
    findings: list[Finding]
    locate: Callable[[tuple[str | int, ...]], Any]


def load(sources: Sequence[Source]) -> Loaded:
    message = bootstrap_pb2.Bootstrap()
    findings = []
    for source in sources:
        try:
            json_format.ParseDict(yaml.safe_load(source.text) or {}, message)
        except (yaml.YAMLError, json_format.ParseError) as error:
            findings.append(Finding("syntax", (), f"{source.name}: {error}"))
    return Loaded(message if not findings else None, findings, lambda path: None)


def read(path: str) -> Source | Finding:
    try:
        return Source(path, Path(path).read_text(), "json" if path.endswith(".json") else "yaml")
    except OSError as error:
        return Finding("file", (), f"{path}: {error.strerror}")


def render(findings: Sequence[Finding], locate: Callable[[tuple[str | int, ...]], Any]) -> str:
    return "".join(f"{one.severity}: {one.field_path}: {one.message}; {one.expected}\n" for one in findings)
