"""Configuration without a schema of Envoy's: an `Any` that holds a `Struct`, a text, or bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from master.config.walk import unpack

if TYPE_CHECKING:
    from master.config.compile.context import Context


def read(value: Any, context: Context) -> Any:
    """See `CompileContext.plain_value`. Whole numbers are integers, as a `Struct` does not tell them apart."""
    message: Any = unpack(value)
    if message is None:
        return None
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Struct":
        return struct(message)
    if name in ("google.protobuf.StringValue", "google.protobuf.BytesValue"):
        return message.value
    context.error((), f"{name} is no configuration of a filter", "google.protobuf.Struct, StringValue or BytesValue")
    return None


def struct(message: Any) -> dict[str, Any]:
    """What a `google.protobuf.Struct` holds; whole numbers are integers."""
    whole: dict[str, Any] = _whole(json_format.MessageToDict(message))
    return whole


def _whole(value: Any) -> Any:
    """A `Struct` holds doubles alone; those that are whole and exact become integers."""
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value
