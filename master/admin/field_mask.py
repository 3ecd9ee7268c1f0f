"""`google.protobuf.FieldMask` over JSON with proto field names. `@type` always stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor

from master.admin.config_dump import type_of

Paths = tuple[tuple[str, ...], ...]


def parse(text: str) -> Paths:
    """`a.b,c` → (("a", "b"), ("c",)); empty paths vanish."""
    return tuple(tuple(path.split(".")) for path in text.split(",") if path)


def applies(value: Mapping[str, Any], paths: Paths) -> bool:
    """Whether every path names a field of `value` (whose `@type` says what it is) or of a message inside it.

    A field need not be set. A path cannot go on inside a list, nor inside an `Any` that is not there.
    """
    return all(_leads(value, None, path) for path in paths)


def _leads(value: Mapping[str, Any], message: Descriptor | None, path: tuple[str, ...]) -> bool:
    if "@type" in value:
        message = type_of(value["@type"])
    field = message.fields_by_name.get(path[0]) if message else None
    if field is None:
        return False
    if len(path) == 1:
        return True
    if field.is_repeated or field.message_type is None:
        return False
    return _leads(value.get(path[0], {}), field.message_type, path[1:])


def trim(value: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    """Only what `paths` name."""
    trimmed: dict[str, Any] = {"@type": value["@type"]} if "@type" in value else {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if below:
            whole = () in below or not isinstance(inner, dict)
            trimmed[name] = inner if whole else trim(inner, tuple(below))
    return trimmed
