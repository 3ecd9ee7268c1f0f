"""Scalar conversions and the words for what is wrong. Which values fit is held to Envoy in tests/parity."""

from __future__ import annotations

import math
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from hypothesis import given
from hypothesis import strategies as st

from master.config.scalars import WrongValueError, boolean, data, describe, double, enumeration, integer, single, string

UINT32 = integer(0, 2**32 - 1)
TYPES = enumeration(cluster_pb2.Cluster.DiscoveryType.DESCRIPTOR)


@given(st.integers(0, 2**32 - 1))
def test_every_form_of_a_whole_number(number: int) -> None:
    assert {
        UINT32(form) for form in (number, float(number), str(number), f"+{number}", f"{number}.0", hex(number))
    } == {number}


@pytest.mark.parametrize(
    "value", [-1, 2**32, 1.5, "1.5", "", " 1", "1_000", "0o17", "0b1", "inf", "1e400", "0x", True, None, []]
)
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(WrongValueError) as raised:
        UINT32(value)
    assert raised.value.expected == "a whole number from 0 to 4294967295"


def test_doubles() -> None:
    assert [double(value) for value in ("1e3", "-.5", "0x1.8p1", 2, "Infinity", "-inf")] == [
        1000.0, -0.5, 3.0, 2.0, math.inf, -math.inf,
    ]  # fmt: skip
    assert math.isnan(double("NaN"))
    for value in (".inf", "1e400", 10**400, "0x1p9999", True, "", None):
        with pytest.raises(WrongValueError):
            double(value)
    assert single(3.4e38) == 3.4e38
    with pytest.raises(WrongValueError):
        single(3.5e38)


@pytest.mark.parametrize(
    ("value", "truth"),
    [(True, True), ("t", True), ("YES", True), ("1", True), (False, False), ("n", False), ("0", False)],
)
def test_booleans(value: Any, truth: bool) -> None:
    assert boolean(value) is truth


@pytest.mark.parametrize("value", ["on", "", "2", 1, 0, None, []])
def test_no_boolean(value: Any) -> None:
    with pytest.raises(WrongValueError):
        boolean(value)


@given(st.binary())
def test_bytes(value: bytes) -> None:
    import base64

    for encoded in (base64.b64encode(value), base64.urlsafe_b64encode(value), base64.b64encode(value).rstrip(b"=")):
        assert data(encoded.decode()) == value


@pytest.mark.parametrize("value", ["a", "aGk==", "a b", "aG=k", 5, None])
def test_no_base64(value: Any) -> None:
    with pytest.raises(WrongValueError):
        data(value)


def test_enums() -> None:
    assert [TYPES(value) for value in ("EDS", "eds", 3, "3", 3.0, 99)] == [3, 3, 3, 3, 3, 99]
    with pytest.raises(WrongValueError) as raised:
        TYPES("STRICT-DNS")
    assert (raised.value.kind, raised.value.suggestion) == ("enum", "STRICT_DNS")
    for value in (True, None, 2**40, "9" * 30, "0.0"):
        with pytest.raises(WrongValueError):
            TYPES(value)


def test_strings() -> None:
    assert string("ä\0") == "ä\0"
    with pytest.raises(WrongValueError):
        string("\udfff")


def test_descriptions_are_short() -> None:
    assert describe("x" * 1000).endswith('…"')
    assert len(describe("x" * 1000)) < 100
    assert [describe(value) for value in (None, True, 1.5, [], {})] == [
        "null", "the boolean true", "the number 1.5", "a list", "an object",
    ]  # fmt: skip
