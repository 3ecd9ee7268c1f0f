"""Valid Envoy configuration that is not implemented: each set field that nobody reads, by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from master.config import any_types, well_known
from master.config.finding import Finding
from master.config.reasons import REASONS
from master.config.support import accepted
from master.config.walk import Path, unpack

ANY = "google.protobuf.Any"
_LEAVES = frozenset(well_known.FILLERS) - {ANY}
"""Messages that are values (Duration, Struct, wrappers): whoever reads the field reads all of it."""


def find_unsupported(message: Message, known: Mapping[str, set[str]] | None = None) -> list[Finding]:
    """Every set field of `message` that is not supported, at the highest path: nothing below it is named again.

    `known` is what is, by default all that may stand in a bootstrap.
    """
    findings: list[Finding] = []
    _in_message(message, (), accepted() if known is None else known, findings)
    return findings


def _in_message(message: Message, path: Path, known: Mapping[str, set[str]], findings: list[Finding]) -> None:
    names = known.get(message.DESCRIPTOR.full_name, set())
    for field, value in message.ListFields():
        here = (*path, field.name)
        if field.name not in names:
            findings.extend(_field(field, field.enum_type, value, here, names))
        elif field.message_type is not None and field.message_type.full_name not in _LEAVES:
            for step, part in elements(field, value):
                _in_value(part, here + step, known, findings)


def elements(field: FieldDescriptor, value: Any) -> Iterator[tuple[Path, Any]]:
    """The messages in a message field's value, and how to get from the field to each: index, key, or nothing."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            yield from (((str(key),), value[key]) for key in sorted(value))
    elif field.is_repeated:
        yield from (((index,), item) for index, item in enumerate(value))
    else:
        yield (), value


def _in_value(message: Any, path: Path, known: Mapping[str, set[str]], findings: list[Finding]) -> None:
    """An `Any` of an unknown type is the loader's finding."""
    if message.DESCRIPTOR.full_name in _LEAVES:  # in a map
        return
    if message.DESCRIPTOR.full_name != ANY:
        _in_message(message, path, known, findings)
        return
    inner = unpack(message)
    if inner is None:
        return
    name = any_types.split_url(message.type_url)
    if name in known:
        _in_message(inner, path, known, findings)
    elif name in _LEAVES:
        return
    else:
        findings.append(Finding("unsupported", path, f"{name} is not supported"))


def _field(
    field: FieldDescriptor, enum: EnumDescriptor | None, value: Any, path: Path, names: set[str]
) -> Iterator[Finding]:
    """The finding for a field that is not supported as a whole. `field=VALUE` in `names` supports that value alone."""
    if enum is None:
        reason = REASONS.get(field.full_name)
        yield Finding("unsupported", path, f"{field.full_name} is not supported{f': {reason}' if reason else ''}")
        return
    ours = sorted(name.partition("=")[2] for name in names if name.startswith(f"{field.name}="))
    for number in value if field.is_repeated else [value]:
        found = enum.values_by_number.get(number)
        name = found.name if found else str(number)
        if name not in ours:
            yield Finding("unsupported", path, f"{field.full_name} = {name} is not supported", " or ".join(ours))
            return
