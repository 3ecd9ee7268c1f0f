"""The protos' own constraints (`validate.rules`, protoc-gen-validate) on a message tree, through Any.

What a message demands is compiled once from its descriptor; messages below which no rule stands are not visited.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from validate import validate_pb2

from master.config import any_types, rules
from master.config.finding import Finding
from master.config.rules import Check

Path = tuple[str | int, ...]


def validate(message: Message, path: Path = ()) -> list[Finding]:
    """Every constraint that `message` or a message in it breaks."""
    findings: list[Finding] = []
    _visit(message, path, findings)
    return findings


@dataclasses.dataclass(slots=True)
class _Field:
    name: str
    repeated: bool
    is_map: bool
    presence: bool  # a scalar whose rules hold only when it is set (member of a oneof, `optional`), or a message
    is_message: bool
    required: bool = False
    skip: bool = False
    checks: list[Check] = dataclasses.field(default_factory=list)  # of the value, or of each item
    container: list[Check] = dataclasses.field(default_factory=list)  # of the list or map as a whole
    keys: list[Check] = dataclasses.field(default_factory=list)
    wrapper: bool = False
    below: Descriptor | None = None


@dataclasses.dataclass(slots=True)
class _Plan:
    fields: list[_Field]
    oneofs: list[tuple[str, list[str]]]


def _visit(message: Any, path: Path, findings: list[Finding]) -> None:
    descriptor = message.DESCRIPTOR
    if descriptor.full_name == "google.protobuf.Any":
        _visit_any(message, path, findings)
        return
    plan = _plan(descriptor)
    for oneof, members in plan.oneofs:
        if message.WhichOneof(oneof) is None:
            findings.append(
                Finding("constraint", path, f"one field of {oneof} is required", "one of " + ", ".join(members))
            )
    for field in plan.fields:
        if field.is_map:
            _visit_map(getattr(message, field.name), field, (*path, field.name), findings)
        elif field.repeated:
            _visit_list(getattr(message, field.name), field, (*path, field.name), findings)
        elif field.presence and not message.HasField(field.name):
            if field.required:
                findings.append(Finding("constraint", (*path, field.name), f"{field.name} is required", "a value"))
        else:
            value = getattr(message, field.name)
            _check(field.checks, value.value if field.wrapper else value, (*path, field.name), findings)
            if field.is_message and not field.skip and field.below is not None:
                _visit(value, (*path, field.name), findings)


def _visit_any(message: Any, path: Path, findings: list[Finding]) -> None:
    kind = any_types.find(any_types.split_url(message.type_url) or "")
    if kind is None or not _has_rules(kind.DESCRIPTOR):
        return
    try:
        inner = kind.FromString(message.value)
    except DecodeError:
        findings.append(Finding("type", path, f"not a valid {kind.DESCRIPTOR.full_name}"))
        return
    _visit(inner, path, findings)


def _visit_list(values: Any, field: _Field, path: Path, findings: list[Finding]) -> None:
    _check(field.container, values, path, findings)
    if not field.checks and field.below is None:
        return
    for index, value in enumerate(values):
        _check(field.checks, value.value if field.wrapper else value, (*path, index), findings)
        if field.below is not None:
            _visit(value, (*path, index), findings)


def _visit_map(values: Any, field: _Field, path: Path, findings: list[Finding]) -> None:
    _check(field.container, values, path, findings)
    if not (field.keys or field.checks or field.below is not None):
        return
    for key in values:
        here = (*path, key if isinstance(key, str) else str(key))
        _check(field.keys, key, here, findings)
        _check(field.checks, values[key], here, findings)
        if field.below is not None:
            _visit(values[key], here, findings)


def _check(checks: list[Check], value: Any, path: Path, findings: list[Finding]) -> None:
    for check in checks:
        if not check.holds(value):
            findings.append(Finding("constraint", path, f"{_show(value)} breaks a rule of {path[-1]}", check.expected))


def _show(value: Any) -> str:
    if isinstance(value, str | bytes):
        return (
            "an empty string"
            if not value
            else repr(value if len(value) <= 60 else value[:57]) + "…" * (len(value) > 60)
        )
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Message):
        return rules.show_message(value)
    return f"{len(value)} item{'s' * (len(value) != 1)}"


@functools.cache
def _plan(descriptor: Descriptor) -> _Plan:
    options = descriptor.GetOptions()
    if options.Extensions[validate_pb2.disabled] or options.Extensions[validate_pb2.ignored]:
        return _Plan([], [])
    fields = [field for field in map(_field, descriptor.fields) if _is_needed(field)]
    oneofs = [
        (oneof.name, [field.name for field in oneof.fields])
        for oneof in descriptor.oneofs
        if oneof.GetOptions().Extensions[validate_pb2.required]
    ]
    return _Plan(fields, oneofs)


def _is_needed(field: _Field) -> bool:
    return bool(field.required or field.checks or field.container or field.keys or (field.below and not field.skip))


def _field(field: FieldDescriptor) -> _Field:
    entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
    element = entry.fields_by_name["value"] if entry else field
    below = element.message_type
    plan = _Field(
        name=field.name,
        repeated=field.is_repeated,
        is_map=entry is not None,
        presence=not field.is_repeated and field.has_presence,
        is_message=field.message_type is not None,
        wrapper=below is not None and below.full_name.startswith("google.protobuf.") and below.name in _WRAPPERS,
        below=below if below is not None and _has_rules(below) else None,
    )
    given = field.GetOptions().Extensions[validate_pb2.rules]
    plan.skip = given.message.skip
    plan.required = given.message.required
    kind = given.WhichOneof("type")
    if kind == "repeated":
        plan.container = list(_container(given.repeated, given.repeated.min_items, given.repeated.max_items, "item"))
        plan.checks = rules.checks(given.repeated.items, _scalar(field))
        if given.repeated.items.message.skip:
            plan.below = None
    elif kind == "map" and entry is not None:
        plan.container = list(_container(given.map, given.map.min_pairs, given.map.max_pairs, "pair"))
        plan.keys = rules.checks(given.map.keys, entry.fields_by_name["key"])
        plan.checks = rules.checks(given.map.values, _scalar(element))
    elif kind == "any":
        plan.required |= given.any.required
        plan.checks = list(_any(given.any))
    elif kind is not None:
        plan.checks = rules.checks(given, _scalar(field))
        plan.required |= bool(getattr(getattr(given, kind), "required", False))
    if field.containing_oneof is not None and not field.containing_oneof.name.startswith("_"):
        plan.required = False  # the rules of a oneof's members are those of the one that is set
    return plan


def _scalar(field: FieldDescriptor) -> FieldDescriptor:
    return (
        field.message_type.fields_by_name["value"]
        if field.message_type and field.message_type.name in _WRAPPERS
        else field
    )


def _container(given: Any, low: int, high: int, unit: str) -> list[Check]:
    found = []
    if low:
        found.append(Check(lambda values: len(values) >= low, f"at least {low} {unit}{'s' * (low != 1)}"))
    if high:
        found.append(Check(lambda values: len(values) <= high, f"at most {high} {unit}{'s' * (high != 1)}"))
    if getattr(given, "unique", False):
        found.append(Check(_is_unique, f"{unit}s that all differ"))
    if given.ignore_empty:
        found = [Check(rules.unless_empty(check.holds), check.expected) for check in found]
    return found


def _any(given: Any) -> list[Check]:
    found = []
    if allowed := set(getattr(given, "in")):
        found.append(Check(lambda value: value.type_url in allowed, "one of the types " + ", ".join(sorted(allowed))))
    if forbidden := set(given.not_in):
        found.append(Check(lambda value: value.type_url not in forbidden, "none of " + ", ".join(sorted(forbidden))))
    return found


def _is_unique(values: Any) -> bool:
    keys = [value.SerializeToString(deterministic=True) if isinstance(value, Message) else value for value in values]
    return len(set(keys)) == len(keys)


@functools.cache
def _has_rules(descriptor: Descriptor) -> bool:
    """Whether a rule stands on `descriptor` or on a message that it can hold. An Any can hold anything."""
    seen: set[str] = set()
    pending = [descriptor]
    while pending:
        message = pending.pop()
        if message.full_name in seen:
            continue
        seen.add(message.full_name)
        if message.full_name == "google.protobuf.Any":
            return True
        if any(oneof.GetOptions().Extensions[validate_pb2.required] for oneof in message.oneofs):
            return True
        for field in message.fields:
            if field.GetOptions().HasExtension(validate_pb2.rules):
                return True
            if field.message_type is not None:
                pending.append(field.message_type)
    return False


_WRAPPERS = frozenset(
    f"{name}Value" for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
