"""The `validate.rules` of scalar fields as checks: predicates with the words for what they demand.

Semantics are those of protoc-gen-validate's C++ code, which is what Envoy runs: patterns match the whole string,
`min_len` counts characters and `min_bytes` bytes. `UNKNOWN` names rules that occur in the installed protos but have no
check here; a test keeps it empty.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import re2
from google.protobuf.descriptor import FieldDescriptor

Holds = Callable[[Any], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    holds: Holds
    expected: str


UNKNOWN: set[str] = set()

# validate.proto: HTTP_HEADER_NAME, HTTP_HEADER_VALUE; the third is either of them with `strict: false`.
_HEADER_NAME = re.compile(r":?[0-9a-zA-Z!#$%&'*+\-.^_|~`]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0A-\x1F\x7F]*")
_HEADER_LOOSE = re.compile(r"[^\x00\x0A\x0D]*")


def checks(rules: Any, field: FieldDescriptor) -> list[Check]:
    """The checks of one scalar (or of one element) under `rules`, a `validate.FieldRules`."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return []
    typed = getattr(rules, kind)
    if kind == "string":
        found = list(_string(typed))
    elif kind == "bytes":
        found = list(_lengths(typed, len))
    elif kind == "enum":
        found = list(_enum(typed, field))
    elif kind == "bool":
        found = [Check(lambda value: bool(value == typed.const), str(typed.const).lower())]
    elif kind in ("duration", "timestamp"):
        found = list(_moment(typed))
    else:
        found = list(_ordered(typed, lambda value: value, str))
    _note_unknown(typed)
    if getattr(typed, "ignore_empty", False):
        return [Check(unless_empty(check.holds), check.expected) for check in found]
    return found


def _ordered(rules: Any, measure: Callable[[Any], Any], show: Callable[[Any], str]) -> Iterator[Check]:
    """const, gt, gte, lt, lte, in, not_in. With the lower bound above the upper one, the range is turned inside out."""
    if rules.HasField("const"):
        only = measure(rules.const)
        yield Check(lambda value: measure(value) == only, show(rules.const))
    low = next((name for name in ("gt", "gte") if rules.HasField(name)), None)
    high = next((name for name in ("lt", "lte") if rules.HasField(name)), None)
    lower = _bound(rules, low, measure) if low else None
    upper = _bound(rules, high, measure) if high else None
    words = [f"{_WORDS[name]} {show(getattr(rules, name))}" for name in (low, high) if name]
    if low and high and lower and upper and measure(getattr(rules, high)) < measure(getattr(rules, low)):
        above, below = lower, upper
        yield Check(lambda value: above(value) or below(value), " or ".join(words))
    else:
        for bound, word in zip([bound for bound in (lower, upper) if bound], words, strict=True):
            yield Check(bound, word)
    yield from _membership(rules, measure, show)


def _bound(rules: Any, name: str, measure: Callable[[Any], Any]) -> Holds:
    limit = measure(getattr(rules, name))
    if name == "gt":
        return lambda value: bool(measure(value) > limit)
    if name == "gte":
        return lambda value: bool(measure(value) >= limit)
    if name == "lt":
        return lambda value: bool(measure(value) < limit)
    return lambda value: bool(measure(value) <= limit)


def _membership(rules: Any, measure: Callable[[Any], Any], show: Callable[[Any], str]) -> Iterator[Check]:
    allowed = getattr(rules, "in", ())
    if allowed:
        values = {measure(value) for value in allowed}
        yield Check(lambda value: measure(value) in values, "one of " + ", ".join(show(value) for value in allowed))
    forbidden = getattr(rules, "not_in", ())
    if forbidden:
        bad = {measure(value) for value in forbidden}
        yield Check(lambda value: measure(value) not in bad, "none of " + ", ".join(show(value) for value in forbidden))


def _string(rules: Any) -> Iterator[Check]:
    yield from _lengths(rules, len)
    if rules.HasField("min_bytes"):
        least = rules.min_bytes
        yield Check(lambda value: len(value.encode()) >= least, f"at least {_count(least, 'byte')}")
    if rules.HasField("max_bytes"):
        most = rules.max_bytes
        yield Check(lambda value: len(value.encode()) <= most, f"at most {_count(most, 'byte')}")
    if rules.HasField("const"):
        only = rules.const
        yield Check(lambda value: value == only, repr(only))
    if rules.HasField("pattern"):
        pattern = re2.compile(rules.pattern)
        yield Check(lambda value: pattern.fullmatch(value) is not None, f"a match of {rules.pattern}")
    if rules.HasField("prefix"):
        prefix = rules.prefix
        yield Check(lambda value: value.startswith(prefix), f"a string that starts with {prefix!r}")
    if rules.HasField("suffix"):
        suffix = rules.suffix
        yield Check(lambda value: value.endswith(suffix), f"a string that ends with {suffix!r}")
    if rules.HasField("contains"):
        part = rules.contains
        yield Check(lambda value: part in value, f"a string that contains {part!r}")
    if rules.well_known_regex:
        name = rules.well_known_regex == 1
        strict = rules.strict or not rules.HasField("strict")
        header = (_HEADER_NAME if name else _HEADER_VALUE) if strict else _HEADER_LOOSE
        yield Check(
            lambda value: header.fullmatch(value) is not None, f"a valid HTTP header {'name' if name else 'value'}"
        )
    yield from _membership(rules, lambda value: value, repr)


def _lengths(rules: Any, length: Callable[[Any], int]) -> Iterator[Check]:
    unit = "byte" if rules.DESCRIPTOR.name == "BytesRules" else "character"
    if rules.HasField("min_len"):
        least = rules.min_len
        yield Check(lambda value: length(value) >= least, f"at least {_count(least, unit)}")
    if rules.HasField("max_len"):
        most = rules.max_len
        yield Check(lambda value: length(value) <= most, f"at most {_count(most, unit)}")


def _enum(rules: Any, field: FieldDescriptor) -> Iterator[Check]:
    assert field.enum_type is not None
    names = field.enum_type.values_by_number

    def show(number: int) -> str:
        return names[number].name if number in names else str(number)

    if rules.HasField("const"):
        only = rules.const
        yield Check(lambda value: value == only, show(only))
    if rules.defined_only:
        yield Check(lambda value: value in names, "one of " + ", ".join(value.name for value in names.values()))
    yield from _membership(rules, lambda value: value, show)


def _moment(rules: Any) -> Iterator[Check]:
    yield from _ordered(rules, lambda value: (value.seconds, value.nanos), _seconds)


def _seconds(value: Any) -> str:
    nanos = value.seconds * 1_000_000_000 + value.nanos
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if nanos < 0 else ''}{whole}{fraction}s"


def show_message(value: Any) -> str:
    """A message in an error: the time of a Duration, the type of an Any."""
    if value.DESCRIPTOR.full_name in ("google.protobuf.Duration", "google.protobuf.Timestamp"):
        return _seconds(value)
    return str(value.type_url if value.DESCRIPTOR.full_name == "google.protobuf.Any" else value.DESCRIPTOR.name)


def unless_empty(holds: Holds) -> Holds:
    """`holds`, but an empty value is always good (`ignore_empty`)."""
    return lambda value: not value or holds(value)


def _note_unknown(rules: Any) -> None:
    UNKNOWN.update(
        f"{rules.DESCRIPTOR.name}.{field.name}" for field, _ in rules.ListFields() if field.name not in _KNOWN
    )


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


_WORDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
# fmt: off
_KNOWN = frozenset({
    "const", "gt", "gte", "lt", "lte", "in", "not_in", "min_len", "max_len", "min_bytes", "max_bytes", "pattern",
    "prefix", "suffix", "contains", "well_known_regex", "strict", "ignore_empty", "defined_only", "required",
})
# fmt: on
