"""What a message demands by the `validate.rules` of its fields, compiled once from its descriptor."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from validate import validate_pb2

from master.config import rules
from master.config.rules import Check


@dataclasses.dataclass(slots=True)
class FieldPlan:
    """The demands on one field. `descends`: there are rules below its value, or below each element."""

    name: str
    is_map: bool
    is_list: bool
    has_presence: bool
    is_wrapper: bool
    required: bool = False
    descends: bool = False
    checks: list[Check] = dataclasses.field(default_factory=list)  # of the value, or of each element
    container: list[Check] = dataclasses.field(default_factory=list)  # of the list or map as a whole
    keys: list[Check] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Plan:
    """`always` are the demands that an absent field can break; `when_set` those on fields that are there."""

    always: list[FieldPlan]
    when_set: dict[str, FieldPlan]
    oneofs: list[tuple[str, list[str]]]


@functools.cache
def plan(descriptor: Descriptor) -> Plan:
    options = descriptor.GetOptions()
    if options.Extensions[validate_pb2.disabled] or options.Extensions[validate_pb2.ignored]:
        return Plan([], {}, [])
    always: list[FieldPlan] = []
    when_set: dict[str, FieldPlan] = {}
    for field in map(_field, descriptor.fields):
        is_scalar = not (field.has_presence or field.is_list or field.is_map)
        if field.required or field.container or (is_scalar and field.checks):
            always.append(field)
        if field.descends or field.keys or (field.checks and not is_scalar):
            when_set[field.name] = field
    oneofs = [
        (oneof.name, [field.name for field in oneof.fields])
        for oneof in descriptor.oneofs
        if oneof.GetOptions().Extensions[validate_pb2.required]
    ]
    return Plan(always, when_set, oneofs)


@functools.cache
def has_rules(descriptor: Descriptor) -> bool:
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


def _field(field: FieldDescriptor) -> FieldPlan:
    entry = field.message_type if field.message_type and field.message_type.GetOptions().map_entry else None
    element = entry.fields_by_name["value"] if entry else field
    below = element.message_type
    found = FieldPlan(
        name=field.name,
        is_map=entry is not None,
        is_list=field.is_repeated and entry is None,
        has_presence=not field.is_repeated and field.has_presence,
        is_wrapper=_is_wrapper(below),
    )
    given = field.GetOptions().Extensions[validate_pb2.rules]
    found.required = given.message.required
    skip = given.message.skip
    kind = given.WhichOneof("type")
    if kind == "repeated":
        found.container = _container(given.repeated, given.repeated.min_items, given.repeated.max_items, "item")
        found.checks = rules.checks(given.repeated.items, _scalar(field))
        skip = given.repeated.items.message.skip
    elif kind == "map" and entry is not None:
        found.container = _container(given.map, given.map.min_pairs, given.map.max_pairs, "pair")
        found.keys = rules.checks(given.map.keys, entry.fields_by_name["key"])
        found.checks = rules.checks(given.map.values, _scalar(element))
        skip = given.map.values.message.skip
    elif kind == "any":
        found.required |= given.any.required
        found.checks = _any(given.any)
    elif kind is not None:
        found.checks = rules.checks(given, _scalar(field))
        found.required |= bool(getattr(getattr(given, kind), "required", False))
    found.descends = below is not None and not skip and has_rules(below)
    if field.containing_oneof is not None and not field.containing_oneof.name.startswith("_"):
        found.required = False  # the rules of a oneof's members are those of the one that is set
    return found


def _scalar(field: FieldDescriptor) -> FieldDescriptor:
    """The field itself, or the value of a wrapper: rules of a wrapper are those of its value."""
    if field.message_type is not None and _is_wrapper(field.message_type):
        return field.message_type.fields_by_name["value"]
    return field


def _is_wrapper(descriptor: Descriptor | None) -> bool:
    return descriptor is not None and descriptor.file.name == "google/protobuf/wrappers.proto"


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
