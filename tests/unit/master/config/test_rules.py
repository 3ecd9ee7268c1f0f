"""Each kind of rule, from a `validate.FieldRules` in text form."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import duration_pb2, text_format
from validate import validate_pb2

from master.config import rules
from master.config.rules import checks

TYPE = cluster_pb2.Cluster.DESCRIPTOR.fields_by_name["type"]


def verdict(text: str, value: Any) -> tuple[bool, str]:
    found = checks(text_format.Parse(text, validate_pb2.FieldRules()), TYPE)
    return all(check.holds(value) for check in found), " and ".join(check.expected for check in found)


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"),
    [
        ("uint32 {gte: 1 lte: 3}", [1, 3], [0, 4], "at least 1 and at most 3"),
        ("int64 {gt: -1 lt: 3}", [0, 2], [-1, 3], "more than -1 and less than 3"),
        ("double {gte: 0.5}", [0.5, 7.0], [0.4], "at least 0.5"),
        ("int32 {lt: 0 gt: 10}", [-1, 11], [0, 10, 5], "more than 10 or less than 0"),
        ("uint64 {const: 5}", [5], [4], "5"),
        ("uint32 {in: 1 in: 2}", [1, 2], [3], "one of 1, 2"),
        ("uint32 {not_in: 1}", [2], [1], "none of 1"),
        ("uint32 {gt: 5 ignore_empty: true}", [0, 6], [5], "more than 5"),
        ("bool {const: true}", [True], [False], "true"),
        ("string {min_len: 2}", ["ää", "abc"], ["", "ä"], "at least 2 characters"),
        ("string {max_len: 1}", ["", "ä"], ["ab"], "at most 1 character"),
        ("string {min_bytes: 2 max_bytes: 3}", ["ä", "abc"], ["a", "ää"], "at least 2 bytes and at most 3 bytes"),
        ('string {pattern: "[a-z]+"}', ["abc"], ["", "a1", "1a"], "a match of [a-z]+"),
        ('string {prefix: "%" suffix: "%"}', ["%", "%a%"], ["a%", ""], "starts with '%'"),
        ('string {contains: "b"}', ["abc"], ["ac"], "contains 'b'"),
        ('string {in: "a" in: "b"}', ["a"], ["c", ""], "one of 'a', 'b'"),
        ('string {not_in: "a"}', ["b"], ["a"], "none of 'a'"),
        ('string {const: "a"}', ["a"], ["b"], "'a'"),
        ("string {min_len: 3 ignore_empty: true}", ["", "abc"], ["ab"], "at least 3 characters"),
        ("string {well_known_regex: HTTP_HEADER_NAME}", [":path", "x-a_b"], ["", "a b", "a:", "ä"], "header name"),
        ("string {well_known_regex: HTTP_HEADER_VALUE}", ["", "a\tb", "ä"], ["a\n", "\x7f", "\0"], "header value"),
        ("string {well_known_regex: HTTP_HEADER_NAME strict: false}", ["a b", "ä"], ["a\n", "\r", "\0"], "name"),
        ("bytes {min_len: 1 max_len: 2}", [b"a"], [b"", b"abc"], "at least 1 byte and at most 2 bytes"),
        ("enum {defined_only: true}", [0, 4], [9], "one of STATIC, STRICT_DNS"),
        ("enum {not_in: 0}", [1], [0], "none of STATIC"),
        ("enum {in: 0 in: 3}", [3], [1], "one of STATIC, EDS"),
        (
            "duration {gte {nanos: 1000000} lt {seconds: 300}}",
            [duration_pb2.Duration(nanos=1000000), duration_pb2.Duration(seconds=299, nanos=999_999_999)],
            [duration_pb2.Duration(), duration_pb2.Duration(seconds=300), duration_pb2.Duration(seconds=-1)],
            "at least 0.001s and less than 300s",
        ),
        ("", ["anything"], [], ""),
    ],
)
def test_rule(rule: str, good: list[Any], bad: list[Any], expected: str) -> None:
    for value in good:
        assert verdict(rule, value)[0], value
    for value in bad:
        assert not verdict(rule, value)[0], value
    assert expected in verdict(rule, (good + bad)[0])[1]


def test_a_rule_without_a_check_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "UNKNOWN", set())
    verdict("string {email: true}", "x")
    assert {"StringRules.email"} == rules.UNKNOWN
