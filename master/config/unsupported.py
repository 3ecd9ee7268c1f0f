"""Valid Envoy configuration that is not implemented: each set field that nobody reads, by its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from master.config import packed
from master.config.finding import Finding
from master.config.support import supported

Path = tuple[str | int, ...]

WELL_KNOWN = "google.protobuf."
"""Messages of this package are values (Duration, Struct, wrappers): whoever reads the field reads all of it."""


def find_unsupported(message: Message) -> list[Finding]:
    """Every set field of `message` that is not supported, at the highest path: nothing below it is named again."""
    return list(_message(message, ()))


def _message(message: Message, path: Path) -> Iterator[Finding]:
    fields = supported().get(message.DESCRIPTOR.full_name, set())
    for field, value in message.ListFields():
        yield from _field(field, value, fields, (*path, field.name))


def _field(field: FieldDescriptor, value: Any, fields: set[str], path: Path) -> Iterator[Finding]:
    if field.enum_type is not None and field.name not in fields:
        yield from _enum(field, field.enum_type, value, fields, path)
    elif field.name not in fields:
        yield _finding(path, f"{field.full_name} is not supported")
    elif field.message_type is None:
        return
    elif field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            for key in sorted(value):
                yield from _value(value[key], (*path, key))
    elif field.is_repeated:
        for index, item in enumerate(value):
            yield from _value(item, (*path, index))
    else:
        yield from _value(value, path)


def _enum(field: FieldDescriptor, enum: EnumDescriptor, value: Any, fields: set[str], path: Path) -> Iterator[Finding]:
    """`field=VALUE` in `fields` supports that value alone."""
    names = [name.partition("=")[2] for name in sorted(fields) if name.startswith(f"{field.name}=")]
    for number in value if field.is_repeated else [value]:
        known = enum.values_by_number.get(number)
        name = known.name if known else str(number)
        if name not in names:
            yield _finding(path, f"{field.full_name} = {name} is not supported", " or ".join(names))
            return


def _value(message: Message, path: Path) -> Iterator[Finding]:
    if message.DESCRIPTOR.full_name != packed.ANY:
        if not message.DESCRIPTOR.full_name.startswith(WELL_KNOWN):
            yield from _message(message, path)
        return
    name = packed.type_name(message)
    if name in supported():
        yield from _message(packed.unpack(message), path)
    elif name:
        yield _finding(path, f"{name} is not supported")


def _finding(path: Path, message: str, expected: str = "") -> Finding:
    return Finding("unsupported", path, message, expected)
