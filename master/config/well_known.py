"""JSON values → the google.protobuf messages that have a JSON form of their own."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

from master.config.scalars import WrongValueError, boolean, converter, describe, string

# The longest span that a Duration can hold, about 10,000 years (duration.proto).
_MAX_SECONDS = 315_576_000_000
_DURATION = re.compile(r"(-?)([0-9]{1,20})(?:\.([0-9]{1,9}))?s")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime.datetime(1970, 1, 1)
# Each level of a Struct is three levels of protobuf, whose parsers stop at 100.
MAX_STRUCT_DEPTH = 30


def fill_duration(message: Any, value: Any) -> None:
    expected = 'a duration in seconds, such as "1.5s"'
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise WrongValueError(f"{describe(value)} is not a duration", expected, _duration_hint(value))
    sign = -1 if match[1] else 1
    seconds = int(match[2])
    nanos = int((match[3] or "0").ljust(9, "0"))
    if seconds > _MAX_SECONDS:
        raise WrongValueError(f"{describe(value)} is out of range", f"at most {_MAX_SECONDS}s")
    message.seconds, message.nanos = sign * seconds, sign * nanos


def fill_timestamp(message: Any, value: Any) -> None:
    expected = 'a time as in RFC 3339, such as "2026-01-31T12:00:00Z"'
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        raise WrongValueError(f"{describe(value)} is not a time", expected) from None
    offset = datetime.timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    since = moment - _EPOCH + (offset if match[8] == "-" else -offset)
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = int((match[7] or "0").ljust(9, "0"))


def fill_field_mask(message: Any, value: Any) -> None:
    if not isinstance(value, str):
        raise WrongValueError(f"{describe(value)} is not a field mask", "field paths separated by commas")
    paths = [part for part in string(value).split(",") if part]
    message.paths.extend(re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), part) for part in paths)


def fill_wrapper(message: Any, value: Any) -> None:
    message.value = converter(message.DESCRIPTOR.fields_by_name["value"])(value)


def fill_struct(message: Any, value: Any, depth: int = 0) -> None:
    if not isinstance(value, dict):
        raise WrongValueError(f"{describe(value)} is not a Struct", "an object")
    message.SetInParent()
    for name, element in value.items():
        fill_value(message.fields[string(name)], element, depth + 1)


def fill_list(message: Any, value: Any, depth: int = 0) -> None:
    if not isinstance(value, list):
        raise WrongValueError(f"{describe(value)} is not a list", "a list")
    message.SetInParent()
    for element in value:
        fill_value(message.values.add(), element, depth + 1)


def fill_value(message: Any, value: Any, depth: int = 0) -> None:
    if depth > MAX_STRUCT_DEPTH:
        raise WrongValueError(f"nested more than {MAX_STRUCT_DEPTH} levels deep")
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = boolean(value)
    elif isinstance(value, int | float):
        message.number_value = _finite(value)
    elif isinstance(value, str):
        message.string_value = string(value)
    elif isinstance(value, dict):
        fill_struct(message.struct_value, value, depth)
    else:
        fill_list(message.list_value, value, depth)


def _finite(value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise WrongValueError(f"{describe(value)} is out of range", "a number")
    return number


def _duration_hint(value: Any) -> str:
    """What a number, or a time with another unit, would be in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*(ms|m|min|h|sec|S|)", str(value))
    if match is None:
        return ""
    factor = {"ms": 0.001, "m": 60, "min": 60, "h": 3600}.get(match[2], 1)
    return f"{round(float(match[1]) * factor, 6):.6f}".rstrip("0").rstrip(".") + "s"


_WRAPPERS = ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")

FILLERS: dict[str, Callable[[Any, Any], None]] = {
    "google.protobuf.Duration": fill_duration,
    "google.protobuf.Timestamp": fill_timestamp,
    "google.protobuf.FieldMask": fill_field_mask,
    "google.protobuf.Struct": fill_struct,
    "google.protobuf.ListValue": fill_list,
    "google.protobuf.Value": fill_value,
} | {f"google.protobuf.{name}Value": fill_wrapper for name in _WRAPPERS}

# Those that protobuf's legacy mode also reads as ordinary messages: `{seconds: 1}`, `{value: 5}`.
ALSO_OBJECTS = frozenset(FILLERS) - {
    "google.protobuf.Struct", "google.protobuf.ListValue", "google.protobuf.Value",
}  # fmt: skip
