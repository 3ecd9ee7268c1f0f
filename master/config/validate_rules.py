"""The protos' own constraints (`validate.rules`, protoc-gen-validate) on a message tree, through Any."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError, Message

from master.config import any_types, rules
from master.config.finding import Finding
from master.config.rule_plans import FieldPlan, has_rules, plan
from master.config.rules import Check

Path = tuple[str | int, ...]


def validate(message: Message, path: Path = ()) -> list[Finding]:
    """Every constraint that `message` or a message in it breaks."""
    findings: list[Finding] = []
    _visit(message, path, findings)
    return findings


def _visit(message: Any, path: Path, findings: list[Finding]) -> None:
    descriptor = message.DESCRIPTOR
    if descriptor.full_name == "google.protobuf.Any":
        _visit_any(message, path, findings)
        return
    demands = plan(descriptor)
    for oneof, members in demands.oneofs:
        if message.WhichOneof(oneof) is None:
            expected = "one of " + ", ".join(members)
            findings.append(Finding("constraint", path, f"one field of {oneof} is required", expected))
    for field in demands.always:
        if not field.has_presence:
            checks = field.container if field.is_list or field.is_map else field.checks
            _check(checks, getattr(message, field.name), path, field.name, findings)
        elif field.required and not message.HasField(field.name):
            findings.append(Finding("constraint", (*path, field.name), f"{field.name} is required", "a value"))
    if demands.when_set:
        for known, value in message.ListFields():
            present = demands.when_set.get(known.name)
            if present is not None:
                _visit_field(present, value, path, findings)


def _visit_field(field: FieldPlan, value: Any, path: Path, findings: list[Finding]) -> None:
    if field.is_list:
        for index, element in enumerate(value):
            _visit_value(field, element, (*path, field.name), index, findings)
    elif field.is_map:
        for key in value:
            name = str(key).lower() if isinstance(key, bool) else str(key)
            _check(field.keys, key, (*path, field.name), name, findings)
            _visit_value(field, value[key], (*path, field.name), name, findings)
    else:
        _visit_value(field, value, path, field.name, findings)


def _visit_value(field: FieldPlan, value: Any, path: Path, name: str | int, findings: list[Finding]) -> None:
    if field.checks:
        _check(field.checks, value.value if field.is_wrapper else value, path, name, findings)
    if field.descends:
        _visit(value, (*path, name), findings)


def _visit_any(message: Any, path: Path, findings: list[Finding]) -> None:
    kind = any_types.find(any_types.split_url(message.type_url) or "")
    if kind is None or not has_rules(kind.DESCRIPTOR):
        return
    try:
        inner = kind.FromString(message.value)
    except DecodeError:
        findings.append(Finding("type", path, f"not a valid {kind.DESCRIPTOR.full_name}"))
        return
    _visit(inner, path, findings)


def _check(checks: list[Check], value: Any, path: Path, name: str | int, findings: list[Finding]) -> None:
    for check in checks:
        if not check.holds(value):
            findings.append(Finding("constraint", (*path, name), f"{_show(value)} is not valid", check.expected))


def _show(value: Any) -> str:
    if isinstance(value, str | bytes):
        shown = repr(value if len(value) <= 60 else value[:60])
        return (shown + "…" if len(value) > 60 else shown) if value else "an empty string"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Message):
        return rules.show_message(value)
    return "an empty list" if not value else "a list of 1" if len(value) == 1 else f"a list of {len(value)}"
