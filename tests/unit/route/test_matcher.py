"""String and header matchers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.route.matcher import compile_header, compile_string, parse_int64
from tests.unit.route.requests import request

TEXT = st.text(alphabet="abAB1.", max_size=6)


@pytest.mark.parametrize(
    ("kind", "value", "accepts", "refuses"),
    [
        ("exact", "abc", ["abc"], ["abcd", "xabc", "ABC", ""]),
        ("prefix", "ab", ["ab", "abc"], ["a", "xab", "AB"]),
        ("suffix", "bc", ["bc", "abc"], ["c", "bcx"]),
        ("contains", "b", ["b", "abc"], ["", "ac"]),
        ("regex", "a[0-9]+", ["a1", "a99"], ["a", "a1x", "xa1"]),
    ],
)
def test_each_kind_of_string_match(kind: str, value: str, accepts: list[str], refuses: list[str]) -> None:
    matches = compile_string(StringMatcher(kind, value))  # type: ignore[arg-type]
    assert [text for text in accepts + refuses if matches(text.encode())] == accepts


def test_ignore_case_does_not_reach_regexes() -> None:
    assert compile_string(StringMatcher("contains", "Ab", ignore_case=True))(b"xaBy")
    assert not compile_string(StringMatcher("regex", "ab", ignore_case=True))(b"AB")


@given(TEXT, TEXT, st.sampled_from(["exact", "prefix", "suffix", "contains"]), st.booleans())
def test_literal_matches_are_pythons(value: str, text: str, kind: str, ignore_case: bool) -> None:
    matches = compile_string(StringMatcher(kind, value, ignore_case))  # type: ignore[arg-type]
    a, b = (text.lower(), value.lower()) if ignore_case else (text, value)
    expected = {"exact": a == b, "prefix": a.startswith(b), "suffix": a.endswith(b), "contains": b in a}[kind]
    assert matches(text.encode()) is expected


def test_a_regex_is_linear_in_its_input() -> None:
    assert not compile_string(StringMatcher("regex", "(a*)*b"))(b"a" * 50_000)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"0", 0),
        (b"-5", -5),
        (b"+5", 5),
        (b" 7\t", 7),
        (b"007", 7),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"9223372036854775808", None),
        (b"9" * 5000, None),
        (b"", None),
        (b"-", None),
        (b"--1", None),
        (b"1_0", None),
        (b"0x1", None),
        (b"1.0", None),
        (b"1 2", None),
        ("٣".encode(), None),
    ],
)
def test_integers_as_absl_reads_them(text: bytes, number: int | None) -> None:
    assert parse_int64(text) == number


def test_one_line_of_several_is_enough() -> None:
    head = request(headers=(("x-a", "1"), ("x-b", "9"), ("x-a", "2")))
    wanted = {"1": True, "2": True, "1,2": False, "9": False}
    assert {v: compile_header(HeaderMatcher("x-a", string=StringMatcher("exact", v)))(head) for v in wanted} == wanted
    inverted = {v: compile_header(HeaderMatcher("x-a", string=StringMatcher("exact", v), invert=True)) for v in wanted}
    assert {v: matches(head) for v, matches in inverted.items()} == {v: not matches for v, matches in wanted.items()}


def test_some_names_are_one_value_however_many_lines_they_have() -> None:
    head = request(headers=(("user-agent", "1"), ("user-agent", "2")))
    wanted = {"1": False, "2": False, "1,2": True}
    found = {v: compile_header(HeaderMatcher("user-agent", string=StringMatcher("exact", v)))(head) for v in wanted}
    assert found == wanted
    assert not compile_header(HeaderMatcher("user-agent"))(request())


@pytest.mark.parametrize(
    ("name", "value"),
    [(":method", "GET"), (":path", "/p?q=1"), (":authority", "h:1"), ("host", "h:1"), (":scheme", "https")],
)
def test_pseudo_headers(name: str, value: str) -> None:
    head = request("/p?q=1", authority="h:1", scheme="https")
    assert compile_header(HeaderMatcher(name, string=StringMatcher("exact", value)))(head)
    assert not compile_header(HeaderMatcher(name, string=StringMatcher("exact", value + "x")))(head)
    assert compile_header(HeaderMatcher(name, present=True))(head)


def test_a_range_excludes_its_end() -> None:
    matches = compile_header(HeaderMatcher("x-n", range=(-3, 5)))
    accepted = [text for text in ("-4", "-3", "4", "5", "x") if matches(request(headers=(("x-n", text),)))]
    assert accepted == ["-3", "4"]


def test_no_condition_means_presence() -> None:
    assert compile_header(HeaderMatcher("x-a"))(request(headers=(("x-a", ""),)))
    assert not compile_header(HeaderMatcher("x-a"))(request())
