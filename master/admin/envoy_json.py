"""JSON as Envoy's admin pages print it: protobuf JSON with proto field names, one space of indent."""

from __future__ import annotations

import json
from collections.abc import Mapping


def dump(value: object) -> bytes:
    """`value` indented by one space, with a final line feed."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def address(text: str) -> Mapping[str, object]:
    """`core.v3.Address` of `127.0.0.1:80`, `[::1]:80`, or a path."""
    if text.startswith(("/", "@")):
        return {"pipe": {"path": text}}
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def set_fields(**fields: object) -> dict[str, object]:
    """The fields that a protobuf message would print: those that differ from zero and from empty."""
    return {name: value for name, value in fields.items() if value not in (0, "", None, [])}
