"""The command line that explains how a recorded request was routed."""

from __future__ import annotations

import itertools
import shlex
from typing import Any

import pytest

from master.explain.reproduce import command
from master.explain.request.question import read
from proxy.config.common import SocketAddress
from proxy.flight_recorder import Record


def record(**more: Any) -> Record:
    facts = {"method": "GET", "authority": "shop.test", "path": "/a?b=1", "reproducible": True, **more}
    return Record(0.0, "failed", 0, **facts)


def test_all_that_decides_is_in_it_quoted_for_a_shell() -> None:
    line = command(
        record(
            downstream="10.1.1.1:0",
            peer="127.0.0.1:4711",
            listener="0.0.0.0_80",
            headers=("x-env: it's", "x-forwarded-for: 10.1.1.1"),
        )
    )
    assert line == (
        "proxyctl explain GET 'http://shop.test/a?b=1' --listener 0.0.0.0_80 --source 127.0.0.1:4711 "
        "-H 'x-env: it'\"'\"'s' -H 'x-forwarded-for: 10.1.1.1'"
    )


def test_the_request_is_told_as_the_client_sent_it() -> None:
    assert shlex.split(command(record(url="http://old.test/before")))[3] == "http://old.test/before"


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        ({"method": "CONNECT", "authority": "db.test:5432", "path": ""}, b"CONNECT db.test:5432 HTTP/1.1"),
        ({"method": "OPTIONS", "path": "*"}, b"OPTIONS * HTTP/1.1"),
        ({"path": "/a b%20", "url": "http://x/a%20b"}, b"GET /a%20b HTTP/1.1"),
    ],
)
def test_it_is_what_explain_understands(facts: dict[str, Any], target: bytes) -> None:
    words = shlex.split(command(record(downstream="10.1.1.1:4711", **facts)))
    headers = [line for flag, line in itertools.pairwise(words) if flag == "-H"]
    question = read(words[2], words[3], headers, source=words[words.index("--source") + 1])
    assert question.head.startswith(target + b"\r\nhost: ")
    assert question.source == SocketAddress("10.1.1.1", 4711)


@pytest.mark.parametrize(
    "facts", [{"method": ""}, {"protocol": "TCP"}, {"truncated": True}, {"reproducible": False}], ids=str
)
def test_of_what_is_not_known_nobody_pretends_to_know(facts: dict[str, Any]) -> None:
    assert command(record(**facts)) == ""
