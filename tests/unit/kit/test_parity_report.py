"""The report of parity cases says what is wrong with marks, and what has no case."""

from __future__ import annotations

import pytest

from tests.parity import report
from tests.parity.report import MIN_CASES, MIN_NAMES, Cases, faults, fields_without, page, summary
from tests.parity.rules import RULES, Rule, of

FIELD = "config.route.v3.RouteAction.prefix_rewrite"


def all_rules(*but: int) -> Cases:
    """A case of every rule that needs one."""
    cases = Cases()
    for number, rule in RULES.items():
        if not rule.awaits and number not in but:
            cases.add("parity/test_a.py::test_b", [f"rule {number}"])
    return cases


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MIN_CASES", 1)
    monkeypatch.setattr(report, "MIN_NAMES", 1)


def test_nothing_is_wrong() -> None:
    cases = all_rules()
    cases.add("parity/test_a.py::test_b", [FIELD, "extensions.filters.http.router.v3.Router.suppress_envoy_headers"])
    assert list(faults(cases)) == []


@pytest.mark.parametrize(
    "name",
    [
        "rule 0",
        "rule 5 ",
        "rule five",
        "rules 5",
        "prefix_rewrite",
        f"envoy.{FIELD}",
        f"{FIELD}s",
        "config.x.v3.A.b",
        "",
    ],
)
def test_a_mark_that_names_nothing_known(name: str) -> None:
    cases = all_rules()
    cases.add("parity/test_a.py::test_c", [name])
    assert list(faults(cases)) == [f"parity/test_a.py::test_c: {name!r} is neither a rule nor a field"]


def test_a_mark_without_a_name() -> None:
    cases = all_rules()
    cases.add("parity/test_a.py::test_c", [])
    assert list(faults(cases)) == ["parity/test_a.py::test_c: its mark names nothing"]


def test_a_rule_without_a_case() -> None:
    assert list(faults(all_rules(5))) == [f"rule 5 has no case: {RULES[5].text}"]


def test_a_rule_that_cannot_have_one_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, 99, Rule("something", awaits="a feature"))
    cases = all_rules()
    assert list(faults(cases)) == []
    assert "  99 something (not built yet: a feature)" in list(summary(cases))
    assert "| 99 | something | not built yet: a feature |" in page(cases)


def test_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    cases = all_rules()
    named = len(cases.tests)
    assert list(faults(cases)) == [
        f"{named} cases are fewer than {MIN_CASES}",
        f"{named} rules and fields are fewer than {MIN_NAMES}",
    ]


def test_cases_of_one_test_are_counted_and_shown_once() -> None:
    cases = Cases()
    for _ in range(3):
        cases.add("parity/test_a.py::test_b", of("config.route.v3.RouteAction", "prefix_rewrite"))
    assert cases.total == 3
    assert "| config.route.v3.RouteAction | `prefix_rewrite` | [b](../tests/parity/test_a.py) |" in page(cases)


def test_fields_that_no_case_names() -> None:
    cases = Cases()
    assert FIELD in fields_without(cases)
    cases.add("parity/test_a.py::test_b", [FIELD])
    assert FIELD not in fields_without(cases)
