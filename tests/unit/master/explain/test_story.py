"""What a record says to a person."""

from __future__ import annotations

from typing import Any

import pytest

from master.explain.story import tell
from proxy.flight_recorder import Record


def failed(flags: str, detail: str, **more: Any) -> Record:
    return Record(0.0, "failed", 0, flags=flags, detail=detail, **more)


def test_a_route_timeout_names_the_setting_that_decided() -> None:
    story = tell(failed("UT", "response_timeout", limits={"RouteAction.timeout": 15.0}))
    assert story.fault == "upstream"
    assert story.decided == ("the route's timeout of 15 s (RouteAction.timeout, the default)",)


def test_without_a_recorded_value_the_setting_is_named_all_the_same() -> None:
    story = tell(failed("SI", "stream_idle_timeout"))
    assert "HttpConnectionManager.stream_idle_timeout; default 300 s" in story.decided[0]


@pytest.mark.parametrize(("request_ms", "fault"), [(-1.0, "client"), (3.0, "upstream")])
def test_the_silent_side_is_at_fault_for_an_idle_stream(request_ms: float, fault: str) -> None:
    assert tell(failed("SI", "stream_idle_timeout", request_ms=request_ms)).fault == fault


def test_an_unknown_detail_leaves_the_flag_to_speak() -> None:
    assert "circuit breaker" in tell(failed("UO", "from_a_newer_version")).what


def test_an_unknown_flag_and_detail_still_tell_something() -> None:
    story = tell(failed("XX", "from_a_newer_version", status=500))
    assert story.what
    assert story.look
    assert story.fault == "us"


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"method": "GET", "request_ms": 1.0, "response_ms": 2.0}, "the response had begun"),
        ({"method": "GET", "request_ms": 1.0}, "had not answered yet"),
        ({"method": "GET"}, "the request was not complete"),
        ({}, "no request had been read"),
    ],
)
def test_a_client_that_left_is_told_with_the_progress(record: dict[str, Any], words: str) -> None:
    story = tell(failed("DC", "downstream_remote_disconnect", total_ms=3200.0, **record))
    assert "after 3.20 s" in story.what
    assert words in story.what
    assert story.fault == "client"


@pytest.mark.parametrize(
    ("request_ms", "response_ms", "fault"), [(10.0, 2000.0, "upstream"), (1900.0, 2000.0, "client")]
)
def test_a_slow_request_tells_who_was_slow(request_ms: float, response_ms: float, fault: str) -> None:
    story = tell(Record(0.0, "slow", 0, status=200, request_ms=request_ms, response_ms=response_ms))
    assert story.fault == fault
    assert "2.00 s" in story.what
