"""What the comparison of two answers takes as equal, and what not."""

from __future__ import annotations

import json

import pytest

from tests.kit.client import Response
from tests.kit.parity import Answer, Answers


def answer(*headers: tuple[str, str], body: bytes = b"", status: int = 200) -> Answer:
    return Answer([Response("HTTP/1.1", status, "OK", list(headers), b"", body)])


def echo(**changes: object) -> bytes:
    received = {
        "origin": "o",
        "headers": [["host", "h"], ["x-request-id", "1"]],
        "connection": 1,
        "request": 1,
        **changes,
    }
    return json.dumps(received).encode()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (answer(("date", "now")), answer(("date", "later"))),
        (answer(body=echo()), answer(body=echo(connection=7, request=3))),
        (answer(body=echo()), answer(body=echo(headers=[["host", "h"], ["x-request-id", "2"]]))),
        (answer(("content-length", "5"), body=echo()), answer(("content-length", "6"), body=echo())),
    ],
)
def test_equal(one: Answer, other: Answer) -> None:
    Answers(one, other).assert_same()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (answer(status=200), answer(status=201)),
        (answer(("a", "1"), ("b", "2")), answer(("b", "2"), ("a", "1"))),
        (answer(("X-A", "1")), answer(("x-a", "1"))),
        (answer(("date", "now")), answer()),
        (answer(body=b"one"), answer(body=b"two")),
        (answer(body=echo()), answer(body=echo(headers=[["host", "other"]]))),
        (answer(body=echo()), answer(body=b"no echo")),
        (answer(), Answer(answer().responses, "closed")),
        (answer(), Answer([])),
    ],
)
def test_different(one: Answer, other: Answer) -> None:
    with pytest.raises(AssertionError):
        Answers(one, other).assert_same()
