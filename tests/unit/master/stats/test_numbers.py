"""The spellings of numbers."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from master.stats.numbers import exact, general, json_number, shortest

FINITE = st.floats(0, 1e15, allow_nan=False)


def test_envoys_spellings() -> None:
    assert [shortest(value) for value in (0, 12.5, 2.033333333333333, 300000)] == [
        "0", "12.5", "2.033333333333333", "300000",
    ]  # fmt: skip
    assert [json_number(value) for value in (3e5, 1.8e6, 1e4, 0.5, 0)] == ["3e+05", "1800000", "10000", "0.5", "0"]
    assert exact(17.623840732857992) == "17.623840732857992463777918601409"
    assert [general(value) for value in (1.8e6, 300000, 0.5, 99.9)] == ["1.8e+06", "300000", "0.5", "99.9"]


def test_not_a_number() -> None:
    assert (shortest(math.nan), json_number(math.nan), exact(math.nan)) == ("nan", "null", "nan")


@given(FINITE)
def test_no_spelling_loses_anything(value: float) -> None:
    assert float(shortest(value)) == value
    assert json.loads(json_number(value)) == value
    assert float(exact(value)) == value


@given(FINITE)
def test_the_scientific_spelling_is_only_used_where_shorter(value: float) -> None:
    assert len(json_number(value)) <= len(shortest(value))
