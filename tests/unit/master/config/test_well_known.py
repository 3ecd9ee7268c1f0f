"""Durations, times and masks. Structs and wrappers: test_strict.py compares them with protobuf's own parser."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from google.protobuf import duration_pb2, field_mask_pb2, json_format, struct_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from master.config.scalars import WrongValueError
from master.config.well_known import fill_duration, fill_field_mask, fill_struct, fill_timestamp


@given(st.integers(-315_576_000_000, 315_576_000_000), st.integers(0, 999_999_999))
def test_durations_are_what_protobuf_makes_of_them(seconds: int, nanos: int) -> None:
    text = f"{seconds}.{nanos:09d}s"
    message = duration_pb2.Duration()
    fill_duration(message, text)
    assert message.seconds == seconds
    assert abs(message.nanos) == nanos
    assert (message.nanos < 0) == (seconds < 0 and nanos > 0)


@pytest.mark.parametrize(
    "value", ["1", "s", ".5s", "1.s", "1S", "+1s", " 1s", "1.1234567890s", "315576000001s", 1, None, []]
)
def test_no_duration(value: Any) -> None:
    with pytest.raises(WrongValueError):
        fill_duration(duration_pb2.Duration(), value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("100ms", "0.1s"),
        (5, "5s"),
        (0.25, "0.25s"),
        ("2m", "120s"),
        ("1h", "3600s"),
        ("3 sec", "3s"),
        ("x", ""),
        (True, ""),
    ],
)
def test_a_duration_in_another_unit_is_put_right(value: Any, hint: str) -> None:
    with pytest.raises(WrongValueError) as raised:
        fill_duration(duration_pb2.Duration(), value)
    assert raised.value.suggestion == hint


@given(st.datetimes(min_value=datetime.datetime(2, 1, 1)), st.sampled_from(["Z", "+01:30", "-11:00"]))
def test_times_are_what_protobuf_makes_of_them(moment: Any, zone: str) -> None:
    message = timestamp_pb2.Timestamp()
    fill_timestamp(message, moment.isoformat() + zone)
    assert message == json_format.ParseDict(moment.isoformat() + zone, timestamp_pb2.Timestamp())


@pytest.mark.parametrize("value", ["2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T00:00:00", "x", 5, None])
def test_no_time(value: Any) -> None:
    with pytest.raises(WrongValueError):
        fill_timestamp(timestamp_pb2.Timestamp(), value)


def test_field_masks() -> None:
    mask = field_mask_pb2.FieldMask()
    fill_field_mask(mask, "fooBar,baz.quxQuux,as_it_is")
    assert list(mask.paths) == ["foo_bar", "baz.qux_quux", "as_it_is"]
    for value in (5, []):
        with pytest.raises(WrongValueError):
            fill_field_mask(field_mask_pb2.FieldMask(), value)


@pytest.mark.parametrize("value", [5, {"a": float("nan")}, {"a": 10**400}, {"\ud800": 1}, {"a": ["\ud800"]}])
def test_no_struct(value: Any) -> None:
    with pytest.raises(WrongValueError):
        fill_struct(struct_pb2.Struct(), value)
