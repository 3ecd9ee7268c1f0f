"""Exceptions of filters: where they come from, what the client gets, what is logged."""

from __future__ import annotations

import json
import logging

import pytest

from proxy.errors import Flag
from proxy.http.filter_failures import MAX_PLACES, FilterFailures, place
from proxy.http.headers import Headers
from proxy.stats import MemoryStats


def raised(text: str = "{", kind: type[BaseException] | None = None) -> BaseException:
    try:
        if kind is not None:
            raise kind(text)
        json.loads(text)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_place_is_in_the_filters_own_code() -> None:
    file, line = place(raised())
    assert file == __file__
    assert line > 0
    with pytest.raises(TypeError) as caught:
        Headers(3)  # raised in our own code, and the filter's fault
    assert place(caught.value)[0] == __file__


def test_one_traceback_for_each_kind_at_each_place(caplog: pytest.LogCaptureFixture) -> None:
    stats = MemoryStats()
    failures = FilterFailures(stats.counter("c"))
    with caplog.at_level(logging.ERROR, "filter"):
        for _ in range(3):
            reply = failures.report(raised())
            failures.report(raised("x", SystemExit))
    assert stats.value("c") == 6
    assert len(caplog.records) == 2
    assert (reply.status, reply.flag, reply.body, reply.close) == (500, Flag.FILTER_EXCEPTION, "", False)
    assert reply.detail.startswith("filter_exception{test_filter_failures.py:")
    assert reply.detail.endswith("|JSONDecodeError}")


def test_the_log_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    failures = FilterFailures(MemoryStats().counter("c"))
    for number in range(MAX_PLACES + 10):
        failures.report(raised("x", type(f"Error{number}", (Exception,), {})))
    assert len(caplog.records) == MAX_PLACES


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert place(ValueError()) == ("?", 0)
