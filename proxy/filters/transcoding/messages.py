"""JSON and bindings to messages, messages to JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from proxy.filters.transcoding.methods import Fields, Method, Methods


class Untranslatable(ValueError):
    """What a client or an upstream has sent is not what its method says."""


class Printing(NamedTuple):
    """`GrpcJsonTranscoder.PrintOptions`."""

    whitespace: bool = False
    primitives: bool = False
    enums_as_ints: bool = False
    proto_names: bool = False


class Reading(NamedTuple):
    """How requests are read. `collisions`: a field that both the body and a binding have is an error."""

    any_case: bool = False
    collisions: bool = False


Binding = tuple[Fields, str]

ABSENT = object()

_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
"""What is true in a path or a query (`safe_strtob`)."""


def load(text: bytes) -> Any:
    """The JSON of a body; `ABSENT` if it is empty. Raises `Untranslatable`."""
    if not text.strip():
        return ABSENT
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Untranslatable(f"no JSON: {error}") from error


def request(methods: Methods, method: Method, body: Any, bindings: Sequence[Binding], reading: Reading) -> Any:
    """The message of a request whose body is `body` (JSON, or `ABSENT`). Raises `Untranslatable`."""
    document: Any = {}
    if method.body:
        field = method.body[-1]
        if body is not ABSENT:
            _check_list(field, body)
            document = _nested(method.body, body)
        elif field.message_type is not None and not field.is_repeated:
            document = _nested(method.body, {})
    elif body is not ABSENT:
        document = body
    if not isinstance(document, dict):
        raise Untranslatable("the body is no object")
    message = method.request()
    bound: dict[str, Any] = {}
    try:
        for fields, value in bindings:
            _bind(bound, fields, value)
        _merge(document, bound, message.DESCRIPTOR, reading)
        document = known(document, message.DESCRIPTOR, reading)
        json_format.ParseDict(document, message, descriptor_pool=methods.pool)
    except Untranslatable:
        raise
    except (json_format.ParseError, ValueError, TypeError, RecursionError) as error:
        raise Untranslatable(str(error)) from error
    return message


def response(methods: Methods, method: Method, data: bytes, printing: Printing) -> bytes:
    """A message of the response as JSON. Raises `Untranslatable`."""
    return to_json(methods, parse(method, data), printing)


def parse(method: Method, data: bytes) -> Any:
    """A message of the response. Raises `Untranslatable`."""
    try:
        return method.response.FromString(data)
    except DecodeError as error:
        raise Untranslatable(str(error)) from error


def to_json(methods: Methods, message: Any, printing: Printing) -> bytes:
    """Raises `Untranslatable`."""
    try:
        found = json_format.MessageToDict(
            message,
            always_print_fields_with_no_presence=printing.primitives,
            preserving_proto_field_name=printing.proto_names,
            use_integers_for_enums=printing.enums_as_ints,
            descriptor_pool=methods.pool,
        )
    except (json_format.SerializeToJsonError, ValueError, TypeError, RecursionError) as error:
        raise Untranslatable(str(error)) from error
    if printing.whitespace:
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    else:
        text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").encode()  # HTML must not begin in it


def http_body(message: Any, path: Fields) -> Any:
    """The `google.api.HttpBody` at `path` of a message."""
    for field in path:
        message = getattr(message, field.name)
    return message


def _nested(path: Fields, value: Any) -> dict[str, Any]:
    for field in reversed(path):
        value = {field.name: value}
    found: dict[str, Any] = value
    return found


def _bind(bound: dict[str, Any], fields: Fields, value: str) -> None:
    """Put `value` where `fields` lead: the last one counts, unless there may be several. Raises `Untranslatable`."""
    for field in fields[:-1]:
        bound = bound.setdefault(field.name, {})
        if not isinstance(bound, dict):
            raise Untranslatable(f"{field.name}: bound as a value, and a field of it as well.")
    field = fields[-1]
    if field.is_repeated:
        bound.setdefault(field.name, []).append(_scalar(field, value))
    else:
        bound[field.name] = _scalar(field, value)


def _merge(document: dict[str, Any], bound: dict[str, Any], descriptor: Any, reading: Reading) -> None:
    """Add to `document` what is bound, where it says nothing itself."""
    for name, value in bound.items():
        field = descriptor.fields_by_name[name]
        key = field.json_name if field.json_name in document else name
        had = document.setdefault(key, value)
        if had is value:
            continue
        if isinstance(value, dict) and isinstance(had, dict):
            _merge(had, value, field.message_type, reading)
        elif isinstance(value, list) and isinstance(had, list):
            had += value
        elif reading.collisions:
            raise Untranslatable(
                f"The binding value {json.dumps(value)} of the field {name} is conflicting with the value "
                f"{json.dumps(had)} in the body."
            )


def _scalar(field: FieldDescriptor, value: str) -> Any:
    """JSON's value for a text: numbers and the like may be texts in JSON, truth may not."""
    kind = field.message_type.full_name if field.message_type is not None else ""
    if field.type == FieldDescriptor.TYPE_BOOL or kind == "google.protobuf.BoolValue":
        return _BOOLEANS.get(value.lower(), value)
    return value


def known(value: Any, descriptor: Any, reading: Reading) -> Any:
    """What of `value` a message has fields for, and enum values by their declared names if their case does not matter.
    What Google's own types say of themselves is left as it is.
    """
    if not isinstance(value, dict) or descriptor.full_name.startswith("google.protobuf."):
        return value
    by_name = {name: field for field in descriptor.fields for name in (field.json_name, field.name)}
    return {name: _known_in(inner, by_name[name], reading) for name, inner in value.items() if name in by_name}


def _known_in(value: Any, field: Any, reading: Reading) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"]
        if isinstance(value, dict):
            return {key: _known_in(one, inner, reading) for key, one in value.items()}
    elif field.is_repeated and isinstance(value, list):
        return [_known_one(one, field, reading) for one in value]
    return _known_one(value, field, reading)


def _known_one(value: Any, field: Any, reading: Reading) -> Any:
    if field.message_type is not None:
        return known(value, field.message_type, reading)
    if reading.any_case and field.enum_type is not None and isinstance(value, str):
        plain = value.upper().replace("-", "_")
        return next((one.name for one in field.enum_type.values if one.name.upper() == plain), value)
    return value


def _check_list(field: Any, body: Any) -> None:
    kind = field.message_type.full_name if field.message_type is not None else ""
    lists = field.is_repeated or kind in ("google.protobuf.Value", "google.protobuf.ListValue")
    if isinstance(body, list) and not lists:
        raise Untranslatable(f"{field.name}: Proto field is not repeating, cannot start list.")
