"""Where configuration text comes from: files and `--config-yaml`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from master.config.finding import Finding

# A bootstrap of 1,000 clusters with 100 endpoints each is 10 MB; what is larger than this is not a configuration.
MAX_SOURCE_BYTES = 128 * 1024 * 1024

_YAML = frozenset({".yaml", ".yml"})
_BINARY = frozenset({".pb", ".pb_text", ".pb_length_delimited"})


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One text of configuration. `name` is what positions show: a path, or `--config-yaml`."""

    name: str
    text: str
    format: Literal["yaml", "json"]


def read(path: str) -> Source | Finding:
    """The file at `path`, its format chosen by its extension as Envoy does: what is not YAML or binary is JSON."""
    extension = Path(path).suffix.lower()
    if extension in _BINARY:
        return _unreadable(f"{path}: {extension} files are not supported", "YAML (.yaml, .yml) or JSON")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        return _unreadable(f"{path}: {error.strerror}")
    if len(content) > MAX_SOURCE_BYTES:
        return _unreadable(f"{path}: larger than {MAX_SOURCE_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unreadable(f"{path}: not UTF-8 (byte {error.start})", "UTF-8 text")
    return Source(path, text, "yaml" if extension in _YAML else "json")


def from_option(text: str) -> Source:
    """The text of `--config-yaml`."""
    return Source("--config-yaml", text.removeprefix("\ufeff"), "yaml")


def _unreadable(message: str, expected: str = "") -> Finding:
    return Finding("file", (), message, expected)
