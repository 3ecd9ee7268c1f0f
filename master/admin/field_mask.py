"""`google.protobuf.FieldMask` over JSON with proto field names. `@type` always stays."""

from __future__ import annotations

from typing import Any

Paths = tuple[tuple[str, ...], ...]


def parse(text: str) -> Paths:
    """`a.b,c` → (("a", "b"), ("c",)); empty paths vanish."""
    return tuple(tuple(path.split(".")) for path in text.split(",") if path)


def applies(value: dict[str, Any], paths: Paths) -> bool:
    """Whether `value` has the first field of every path, and no path goes on inside a list or a scalar.

    Further fields may be absent: they can be fields of the message that are not set.
    """
    return all(path[0] in value and _passes(value[path[0]], path[1:]) for path in paths)


def _passes(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    return isinstance(value, dict) and (path[0] not in value or _passes(value[path[0]], path[1:]))


def trim(value: dict[str, Any], paths: Paths) -> dict[str, Any]:
    """Only what `paths` name."""
    trimmed: dict[str, Any] = {"@type": value["@type"]} if "@type" in value else {}
    for name, inner in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if not below:
            continue
        trimmed[name] = inner if () in below or not isinstance(inner, dict) else trim(inner, tuple(below))
    return trimmed
