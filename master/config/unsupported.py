"""Valid Envoy configuration that is not implemented: each set field that nobody reads, by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from master.config.finding import Finding
from master.config.messages import ANY, Path, messages, type_name, unpack
from master.config.support import accepted

Fields = Mapping[str, set[str]]

VALUES = "google.protobuf."
"""Messages of this package are values (Duration, Struct, wrappers): whoever reads the field reads all of it."""


def find_unsupported(message: Message) -> list[Finding]:
    """Every set field of `message` that is not supported, at the highest path: nothing below it is named again."""
    return list(_in_message(message, (), accepted()))


def _in_message(message: Message, path: Path, known: Fields) -> Iterator[Finding]:
    names = known.get(message.DESCRIPTOR.full_name, set())
    for field, value in message.ListFields():
        here = (*path, field.name)
        if field.name in names:
            for step, part in messages(field, value):
                yield from _in_value(part, here + step, known)
        elif field.enum_type is not None:
            yield from _in_enum(field, field.enum_type, value, here, names)
        else:
            yield _finding(here, f"{field.full_name} is not supported")


def _in_value(message: Any, path: Path, known: Fields) -> Iterator[Finding]:
    if message.DESCRIPTOR.full_name == ANY:
        name = type_name(message)
        if name in known:
            yield from _in_message(unpack(message), path, known)
        elif name:
            yield _finding(path, f"{name} is not supported")
    elif not message.DESCRIPTOR.full_name.startswith(VALUES):
        yield from _in_message(message, path, known)


def _in_enum(
    field: FieldDescriptor, enum: EnumDescriptor, value: Any, path: Path, names: set[str]
) -> Iterator[Finding]:
    """`field=VALUE` in `names` supports that value alone."""
    ours = sorted(name.partition("=")[2] for name in names if name.startswith(f"{field.name}="))
    for number in value if field.is_repeated else [value]:
        found = enum.values_by_number.get(number)
        name = found.name if found else str(number)
        if name not in ours:
            yield _finding(path, f"{field.full_name} = {name} is not supported", " or ".join(ours))
            return


def _finding(path: Path, message: str, expected: str = "") -> Finding:
    return Finding("unsupported", path, message, expected)
