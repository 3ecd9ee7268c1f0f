"""Tree → protobuf message, reporting everything that is wrong with it at once.

The rules are those of the protobuf JSON parser in Envoy, with its legacy leniency: both spellings of field names, one
value where a list is expected, messages such as Duration also in their object form. Unlike it, this does not stop at
the first error, and a field that is set twice (by both spellings, or two fields of one oneof) is an error.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from master.config import any_types, well_known
from master.config.finding import Finding
from master.config.scalars import Converter, WrongValueError, converter, describe, quoted
from master.config.suggest import nearest

Path = tuple[str | int, ...]

_CONFIDENTIAL = frozenset({"envoy.config.core.v3.DataSource"})
"""What holds keys and passwords: nothing of it is quoted in a log."""


def fill(message: Any, tree: Any) -> list[Finding]:
    """Sets the fields of `message` from `tree`. What is wrong is left out of the message and reported."""
    findings: list[Finding] = []
    _fill(message, tree, (), findings)
    return findings


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    oneof: str
    repeated: bool
    message: Descriptor | None  # of one element
    convert: Converter | None  # of one scalar element
    zero: Any  # what null means as an element
    map_key: Converter | None
    map_value: _Field | None
    takes_null: bool


def _fill(message: Any, tree: Any, path: Path, findings: list[Finding]) -> None:
    if message.DESCRIPTOR.full_name not in _CONFIDENTIAL:
        _fill_open(message, tree, path, findings)
        return
    own: list[Finding] = []
    _fill_open(message, tree, path, own)
    findings += [
        dataclasses.replace(finding, message="the value, which is not shown, is of the wrong kind")
        if finding.kind == "type"
        else finding
        for finding in own
    ]


def _fill_open(message: Any, tree: Any, path: Path, findings: list[Finding]) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    if descriptor.full_name == "google.protobuf.Any":
        _fill_any(message, tree, path, findings)
        return
    special = well_known.FILLERS.get(descriptor.full_name)
    if special is not None and not (isinstance(tree, dict) and descriptor.full_name in well_known.ALSO_OBJECTS):
        try:
            special(message, tree)
        except WrongValueError as error:
            findings.append(_finding(error, path))
        return
    if not isinstance(tree, dict):
        findings.append(
            Finding(
                "type", path, f"{describe(tree)} is not a message", f"an object with fields of {descriptor.full_name}"
            )
        )
        return
    fields = _fields(descriptor)
    seen: dict[str, str] = {}
    for name, value in tree.items():
        field = fields.get(name)
        if field is None:
            findings.append(_unknown(descriptor, name, path))
            continue
        if value is None and not field.takes_null:
            continue
        for taken in (field.name, field.oneof):
            if taken and taken in seen:
                message_text = f'"{name}" and "{seen[taken]}" cannot both be set'
                findings.append(Finding("duplicate", (*path, name), message_text, "one of them"))
                break
        else:
            seen[field.name] = name
            if field.oneof:
                seen[field.oneof] = name
            _set(message, field, value, (*path, name), findings)


def _set(message: Any, field: _Field, value: Any, path: Path, findings: list[Finding]) -> None:
    if field.map_value is not None:
        _set_map(getattr(message, field.name), field, field.map_value, value, path, findings)
    elif field.repeated:
        elements = value if isinstance(value, list) else [value]
        target = getattr(message, field.name)
        for index, element in enumerate(elements):
            here = (*path, index) if isinstance(value, list) else path
            if field.message is not None:
                added = target.add()
                if element is not None or field.takes_null:
                    _fill(added, element, here, findings)
            else:
                converted = _convert(field, element, here, findings)
                if converted is not None:
                    target.append(converted)
    elif field.message is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _fill(inner, value, path, findings)
    else:
        converted = _convert(field, value, path, findings)
        if converted is not None:
            setattr(message, field.name, converted)


def _set_map(target: Any, field: _Field, element: _Field, tree: Any, path: Path, findings: list[Finding]) -> None:
    if not isinstance(tree, dict):
        findings.append(Finding("type", path, f"{describe(tree)} is not a map", "an object"))
        return
    for name, value in tree.items():
        here = (*path, name)
        try:
            key = field.map_key(name) if field.map_key else name
        except WrongValueError as error:
            findings.append(_finding(error, here))
            continue
        if element.message is not None:
            added = target[key]  # exists from now on
            if value is not None or element.takes_null:
                _fill(added, value, here, findings)
        else:
            converted = _convert(element, value, here, findings)
            if converted is not None:
                target[key] = converted


def _convert(field: _Field, value: Any, path: Path, findings: list[Finding]) -> Any:
    """The value for a scalar field, or None if it was reported."""
    if value is None and not field.takes_null:
        return field.zero
    assert field.convert is not None
    try:
        return field.convert(value)
    except WrongValueError as error:
        findings.append(_finding(error, path))
        return None


def _fill_any(message: Any, tree: Any, path: Path, findings: list[Finding]) -> None:
    if not isinstance(tree, dict):
        findings.append(Finding("type", path, f"{describe(tree)} is not a message", 'an object with "@type"'))
        return
    if not tree:
        return
    if "@type" not in tree:
        expected = "a type URL, such as type.googleapis.com/google.protobuf.Struct"
        findings.append(Finding("missing_type", path, '"@type" is missing', expected))
        return
    rest = {name: value for name, value in tree.items() if name != "@type"}
    inner = _named(tree["@type"], (*path, "@type"), findings)
    if inner is None:
        return
    url = tree["@type"]
    name: str = inner.DESCRIPTOR.full_name
    if name in any_types.TYPED_STRUCTS and (opaque := _named_by_struct(rest, path, findings)):
        # Envoy reads the struct as the message it names (`translateOpaqueConfig`); so does everything after us.
        inner, url, rest = opaque, f"type.googleapis.com/{opaque.DESCRIPTOR.full_name}", rest.get("value") or {}
        _fill(inner, rest, (*path, "value"), findings)
    elif name in well_known.FILLERS or name == "google.protobuf.Any":
        findings.extend(_unknown(inner.DESCRIPTOR, extra, path, ["value"]) for extra in rest if extra != "value")
        if "value" in rest:
            _fill(inner, rest["value"], (*path, "value"), findings)
    else:
        _fill(inner, rest, path, findings)
    message.type_url = url
    message.value = inner.SerializeToString(deterministic=True)


def _named(url: Any, path: Path, findings: list[Finding]) -> Any:
    """An empty message of the type that `url` names, or None if that was reported."""
    expected = "a type URL, such as type.googleapis.com/google.protobuf.Struct"
    if not isinstance(url, str):
        findings.append(Finding("type", path, f"{describe(url)} is not a type URL", expected))
        return None
    name = any_types.split_url(url)
    if name is not None and (known := any_types.find(name)):
        return known()
    guess = any_types.nearest_type(name if name is not None else url)
    suggestion = f"type.googleapis.com/{guess}" if guess else ""
    if name is None:
        findings.append(Finding("missing_type", path, f"{quoted(url)} is not a type URL", expected, suggestion))
    else:
        findings.append(
            Finding("missing_type", path, f"unknown type {quoted(name)}", "a type of Envoy's v3 API", suggestion)
        )
    return None


def _named_by_struct(tree: dict[str, Any], path: Path, findings: list[Finding]) -> Any:
    """The message that a TypedStruct stands for; None if it names none or just a Struct."""
    url = tree.get("type_url", tree.get("typeUrl"))
    if not isinstance(url, str) or set(tree) - {"type_url", "typeUrl", "value"}:
        return None
    message = _named(url if "/" in url else f"type.googleapis.com/{url}", (*path, "type_url"), findings)
    return None if message is None or message.DESCRIPTOR.full_name in well_known.FILLERS else message


def _finding(error: WrongValueError, path: Path) -> Finding:
    return Finding(error.kind, path, error.message, error.expected, error.suggestion)


def _unknown(descriptor: Descriptor, name: str, path: Path, names: list[str] | None = None) -> Finding:
    if names is None:
        camel = "_" not in name and name != name.lower()
        names = [field.json_name if camel else field.name for field in descriptor.fields]
    suggestion = nearest(name, names)
    expected = "" if suggestion else ("one of " + ", ".join(names[:12]) if names else "no fields")
    if len(names) > 12 and expected:
        expected += ", …"
    return Finding(
        "unknown_field",
        (*path, name),
        f"unknown field {quoted(name)} of {descriptor.full_name}",
        expected,
        suggestion,
    )


@functools.cache
def _fields(descriptor: Descriptor) -> dict[str, _Field]:
    """The fields of a message by both of their names."""
    fields: dict[str, _Field] = {}
    for field in descriptor.fields:
        fields[field.name] = fields[field.json_name] = _field(field)
    return fields


def _field(field: FieldDescriptor) -> _Field:
    entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
    element = None if entry else field.message_type
    # A proto3 `optional` field is in a oneof of its own, named with an underscore.
    oneof = field.containing_oneof
    return _Field(
        name=field.name,
        oneof=f"oneof {oneof.name}" if oneof and not oneof.name.startswith("_") else "",
        repeated=field.is_repeated,
        message=element,
        convert=None if field.message_type else converter(field),
        zero=_ZEROS.get(field.cpp_type, 0) if field.type != FieldDescriptor.TYPE_BYTES else b"",
        map_key=converter(entry.fields_by_name["key"]) if entry else None,
        map_value=_field(entry.fields_by_name["value"]) if entry else None,
        takes_null=(element is not None and element.full_name == "google.protobuf.Value")
        or (field.enum_type is not None and field.enum_type.full_name == "google.protobuf.NullValue"),
    )


_ZEROS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: "",
    FieldDescriptor.CPPTYPE_BOOL: False,
    FieldDescriptor.CPPTYPE_FLOAT: 0.0,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.0,
}
