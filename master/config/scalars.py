"""JSON values → scalar proto fields, by the rules of the protobuf JSON parser in Envoy.

Envoy parses with protobuf's legacy leniency: numbers may be strings, booleans may be "true", "yes" or "1", and enum
names are matched without regard to case. tests/parity holds these rules to the running Envoy.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from master.config.finding import Kind
from master.config.suggest import nearest

Converter = Callable[[Any], Any]

_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_HEXADECIMAL = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]{1,64}\.?[0-9a-fA-F]{0,64}|\.[0-9a-fA-F]{1,64})(?:[pP][+-]?[0-9]{1,4})?"
)
_NOT_FINITE = re.compile(r"[+-]?(?:inf|infinity|nan)", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
# absl::SimpleAtob
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_FLOAT_MAX = 3.4028234663852886e38


class WrongValueError(Exception):
    """A JSON value that a field cannot hold."""

    def __init__(self, message: str, expected: str = "", suggestion: str = "", kind: Kind = "type") -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.suggestion = suggestion
        self.kind = kind


def describe(value: object) -> str:
    """How a person would name a JSON value: `the string "x"`, `a list`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {json.dumps(value)}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    return "a list" if isinstance(value, list) else "an object"


def quoted(text: str) -> str:
    """`text` in quotes, shortened to what fits a line."""
    return json.dumps(text if len(text) <= 80 else text[:80] + "…", ensure_ascii=False)


def string(value: object) -> str:
    if not isinstance(value, str):
        hint = "a string (write it in quotes)" if isinstance(value, bool | int | float) else "a string"
        raise WrongValueError(f"{describe(value)} is not a string", hint)
    if not _is_unicode(value):
        raise WrongValueError("the string has half of a surrogate pair", "valid Unicode")
    return value


def data(value: object) -> bytes:
    expected = "a base64 string"
    # protobuf takes both alphabets, and padding that is complete or absent.
    if not isinstance(value, str) or not _BASE64.fullmatch(value) or (value.endswith("=") and len(value) % 4):
        raise WrongValueError(f"{describe(value)} is not base64", expected)
    digits = value.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        raise WrongValueError(f"{describe(value)} is not base64", expected) from None


def boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
    raise WrongValueError(f"{describe(value)} is not a boolean", "true or false")


def integer(low: int, high: int) -> Converter:
    """A converter for whole numbers between `low` and `high`, inclusive."""
    expected = f"a whole number from {low} to {high}"

    def convert(value: object) -> int:
        number = _number(value, expected)
        if isinstance(number, float):
            if not number.is_integer():
                raise WrongValueError(f"{describe(value)} is not a whole number", expected)
            number = int(number)
        if not low <= number <= high:
            raise WrongValueError(f"{describe(value)} is out of range", expected)
        return number

    return convert


def double(value: object) -> float:
    expected = "a number"
    if isinstance(value, str) and _NOT_FINITE.fullmatch(value):
        return float(value)
    try:
        number = float(_number(value, expected))
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise WrongValueError(f"{describe(value)} is out of range", expected)
    return number


def single(value: object) -> float:
    """A 32-bit float."""
    number = double(value)
    if math.isfinite(number) and abs(number) > _FLOAT_MAX:
        raise WrongValueError(f"{describe(value)} is out of range", "a number that fits 32 bits")
    return number


def enumeration(descriptor: EnumDescriptor) -> Converter:
    """A converter for names of `descriptor` in any case, and for numbers (also unknown ones, as protobuf has it)."""
    by_name = {name.lower(): value.number for name, value in descriptor.values_by_name.items()}
    integral = integer(-(2**31), 2**31 - 1)

    def convert(value: object) -> int:
        if isinstance(value, str):
            number = by_name.get(value.lower())
            if number is not None:
                return number
            if not _INTEGER.fullmatch(value):
                names = list(descriptor.values_by_name)
                raise WrongValueError(
                    f"unknown value {quoted(value)} of enum {descriptor.full_name}",
                    "one of " + ", ".join(names),
                    nearest(value, names),
                    "enum",
                )
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongValueError(
                f"{describe(value)} is not an enum value", "a name or number of " + descriptor.full_name
            )
        result = integral(value)
        assert isinstance(result, int)
        return result

    return convert


def converter(field: FieldDescriptor) -> Converter:
    """The converter for a scalar or enum field (of one element, when it is repeated)."""
    if field.enum_type is not None:
        if field.enum_type.full_name == "google.protobuf.NullValue":
            return _null
        return enumeration(field.enum_type)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return data if field.type == FieldDescriptor.TYPE_BYTES else string
    return _BY_CPP_TYPE[field.cpp_type]


def _null(value: object) -> int:
    if value is None or value in ("NULL_VALUE", 0):
        return 0
    raise WrongValueError(f"{describe(value)} is not null", "null")


def _number(value: object, expected: str) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        if _DECIMAL.fullmatch(value):
            return float(value)
        if _HEXADECIMAL.fullmatch(value):
            return _from_hexadecimal(value)
    raise WrongValueError(f"{describe(value)} is not a number", expected)


def _from_hexadecimal(text: str) -> float:
    try:
        return float.fromhex(text)
    except OverflowError:
        return math.inf


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_BY_CPP_TYPE: dict[int, Converter] = {
    FieldDescriptor.CPPTYPE_BOOL: boolean,
    FieldDescriptor.CPPTYPE_INT32: integer(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: integer(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: integer(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: integer(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_FLOAT: single,
    FieldDescriptor.CPPTYPE_DOUBLE: double,
}
