"""CEL over an exchange: what is refused at compile time, what it takes from an exchange, what text becomes of it."""

from __future__ import annotations

import datetime

import pytest

from proxy.access_log import cel_attributes
from proxy.access_log.cel import MAX_LENGTH, Failed, compile_expression
from proxy.access_log.cel_filter import ExpressionFilter
from proxy.access_log.operator import FormatError
from tests.unit.proxy.access_log.streams import complete, failed, render, request


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 +", "no CEL expression"),
        ("", "no CEL expression"),
        ("request.path.foo()", "calls foo"),
        ("[1, 2].exists(n, n == 2)", "calls exists"),
        ("request.headers.all(n, true)", "calls all"),
        ("string(1)", "calls string"),
        ("'a" + "a" * MAX_LENGTH + "'", "longer than"),
    ],
)
def test_expressions_that_are_refused(expression: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        compile_expression(expression)
    assert message in caught.value.message


def test_words_in_text_are_no_calls() -> None:
    assert compile_expression("'.all(' == request.path")(complete()) is False


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(Failed):
        compile_expression("request.path")(failed())
    with pytest.raises(Failed):
        compile_expression("request.headers['nothing']")(complete())
    assert render("%CEL(request.headers['nothing'])%|%TYPED_CEL(1/0)%") == "-|-"


def test_a_parenthesis_ends_the_parameter_only_before_the_end_of_the_operator() -> None:
    assert render("%CEL(request.path.startsWith('/p'))%|%CEL(size('abc')):1%|%REQ(x-a)%") == "true|3|hello"


def test_bytes_that_are_no_text_fail_nothing() -> None:
    info = complete()
    info.request = request((b"x-a", b"\xff\xfe"))
    assert compile_expression("request.headers['x-a'] == 'b'")(info) is False


def test_an_expression_sees_a_large_head_in_time() -> None:
    """RE2: no pattern takes more than linear time."""
    info = complete()
    info.request = request(path=b"/" + b"a" * 60_000)
    assert compile_expression("request.path.matches('^/(a+)+$')")(info) is True


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0"), (1, "1us"), (1500, "1.5ms"), (2_500_000, "2.5s"), (5_400_000_000, "1h30m"), (-1_000_000, "-1s")],
)
def test_durations(microseconds: int, text: str) -> None:
    assert cel_attributes.text_of(datetime.timedelta(microseconds=microseconds)) == text.encode()


def test_what_json_has_no_type_for() -> None:
    assert cel_attributes.json_of({1: 2}) is None
    assert cel_attributes.json_of(object()) is None
    assert cel_attributes.json_of([b"abc", datetime.timedelta(seconds=1.5)]) == ["YWJj", "1.500s"]


@pytest.mark.parametrize(
    ("expression", "logged"), [("response.code == 200", True), ("response.code", False), ("request.nothing", False)]
)
def test_the_filter_takes_true_alone(expression: str, logged: bool) -> None:
    assert ExpressionFilter(ExpressionFilter.Config(expression)).logged(complete()) is logged
