"""Whatever bootstrap message arrives, from a file or a control plane: it is compiled or refused without a crash."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from validate import validate_pb2

from master.config import any_types, walk
from master.config import compile as compile_package
from master.config.compile import compile_bootstrap, plugins
from master.config.loader import load
from master.config.source import Source
from master.config.support import accepted
from master.config.unsupported import find_unsupported
from proxy.config.bootstrap import decode, encode
from tests.parity.test_config_verdicts import BOTH_TAKE

TEXTS = st.sampled_from(
    ["", "a", "origin", "*", "*.a", "127.0.0.1", "::1", "fe80::1%lo", "@x", "/x", "a\0b", "é", "(", "a" * 120]
)
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**31), 2**31 - 1),
    "unsigned": st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 80, 65535]),
    "float": st.floats(allow_nan=False, width=32),
}
TYPES = {
    FieldDescriptor.CPPTYPE_INT32: NUMBERS["int"],
    FieldDescriptor.CPPTYPE_INT64: NUMBERS["int"],
    FieldDescriptor.CPPTYPE_UINT32: NUMBERS["unsigned"],
    FieldDescriptor.CPPTYPE_UINT64: NUMBERS["unsigned"],
    FieldDescriptor.CPPTYPE_DOUBLE: NUMBERS["float"],
    FieldDescriptor.CPPTYPE_FLOAT: NUMBERS["float"],
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}
PACKED = ["envoy.extensions.filters.http.cors.v3.Cors", "envoy.extensions.filters.http.buffer.v3.Buffer"]


def fill(draw: st.DrawFn, message: Any, depth: int) -> None:
    """Sets some fields of `message`: supported ones mostly, others rarely, and down to `depth` messages."""
    known = {name.partition("=")[0] for name in accepted().get(message.DESCRIPTOR.full_name, ())}
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and depth == 0:
            continue
        if draw(st.integers(0, 9)) < (7 if field.name in known else 1 if depth > 3 else 0):
            put(draw, message, field, depth)


def put(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            fill_any_or_message(draw, value[draw(TEXTS)], depth - 1)
    elif field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            if field.message_type is not None:
                fill_any_or_message(draw, value.add(), depth - 1)
            else:
                value.append(scalar(draw, field))
    elif field.message_type is not None:
        value.SetInParent()
        fill_any_or_message(draw, value, depth - 1)
    else:
        setattr(message, field.name, scalar(draw, field))


def scalar(draw: st.DrawFn, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        rules = field.GetOptions().Extensions[validate_pb2.rules]  # which are checked before anything is compiled
        checked = (rules.repeated.items if field.is_repeated else rules).enum.defined_only
        return draw(st.sampled_from([*field.enum_type.values_by_number, *(() if checked else (999,))]))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = draw(TEXTS)
        return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    return draw(TYPES[field.cpp_type])


def fill_any_or_message(draw: st.DrawFn, message: Any, depth: int) -> None:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":
        packed = draw(st.sampled_from([*sorted(name for name in accepted() if ".filters." in name), *PACKED, ""]))
        kind = any_types.find(packed)
        if kind is None:
            message.type_url = draw(st.sampled_from(["", "type.googleapis.com/no.Such", "no-slash"]))
            return
        inner = kind()
        fill(draw, inner, depth)
        message.Pack(inner)
    elif name in ("google.protobuf.Duration", "google.protobuf.UInt32Value", "google.protobuf.BoolValue"):
        for field in message.DESCRIPTOR.fields:
            setattr(message, field.name, scalar(draw, field))
    else:
        fill(draw, message, depth)


@st.composite
def bootstraps(draw: st.DrawFn) -> bootstrap_pb2.Bootstrap:
    message = bootstrap_pb2.Bootstrap()
    fill(draw, message, 14)
    return message


@settings(  # no shrinking: these messages are large, and the finding or traceback says enough
    max_examples=100,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(bootstraps())
def test_any_bootstrap_is_compiled_or_refused(message: bootstrap_pb2.Bootstrap) -> None:
    unsupported = find_unsupported(message)
    config, findings = compile_bootstrap(message, version=1, unsupported=[finding.path for finding in unsupported])
    event(f"compiled: {config is not None}")
    assert (config is None) == bool(findings)
    if config is not None:
        assert encode(decode(encode(config))) == encode(config)
    for finding in findings + unsupported:
        assert exists(message, finding.path), finding


def exists(message: Any, path: tuple[str | int, ...]) -> bool:
    """Whether every step of `path` but the last one is there: a finding may be about what is missing."""
    value: Any = message
    for step in path[:-1]:
        if getattr(value, "DESCRIPTOR", None) is not None and value.DESCRIPTOR.full_name == "google.protobuf.Any":
            kind = any_types.find(any_types.split_url(value.type_url) or "")
            assert kind is not None
            value = kind.FromString(value.value)
        value = value[step] if isinstance(step, int) or not hasattr(value, "DESCRIPTOR") else getattr(value, step)
    return value is not None


class Recorder:
    """A message that notes in `reads` each field that is looked at."""

    def __init__(self, message: Any, reads: set[tuple[str, str]]) -> None:
        self.message, self.reads = message, reads

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.message, name)
        if name not in self.message.DESCRIPTOR.fields_by_name:
            return value
        self.reads.add((self.message.DESCRIPTOR.full_name, name))
        field = self.message.DESCRIPTOR.fields_by_name[name]
        if field.message_type is None:
            return value
        if field.message_type.GetOptions().map_entry:
            return {key: Recorder(value[key], self.reads) for key in value}
        if field.is_repeated:
            return [Recorder(item, self.reads) for item in value]
        return Recorder(value, self.reads)

    def HasField(self, name: str) -> bool:  # noqa: N802  protobuf's name
        self.reads.add((self.message.DESCRIPTOR.full_name, name))
        return bool(self.message.HasField(name))


@pytest.mark.parametrize("text", BOTH_TAKE.values(), ids=BOTH_TAKE)
def test_the_compiler_looks_at_no_field_that_is_not_in_fields(text: str) -> None:
    message = load([Source("envoy.yaml", text, "yaml")]).message
    reads: set[tuple[str, str]] = set()

    def unpack_recorder(value: Any) -> Any:
        inner = walk.unpack(value.message)
        return None if inner is None else Recorder(inner, reads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_package, "_source", lambda message, context: "{}")
        patch.setattr(plugins, "unpack", unpack_recorder)
        compile_bootstrap(Recorder(message, reads), version=1)
    known = accepted()
    for name, field in reads:
        if not name.startswith("google.protobuf."):
            assert field in {entry.partition("=")[0] for entry in known[name]}, f"{name}.{field}"
