"""Envoy's words for failures. tests/parity/test_upstream_failures.py compares them with the real ones."""

from __future__ import annotations

import errno
import os

import pytest

from proxy.errors import Flag
from proxy.upstream import failures
from proxy.upstream.connect import ConnectFailed


def test_overflow_tells_the_client_to_back_off() -> None:
    error = failures.reset("overflow")
    assert error.detail == "upstream_reset_before_response_started{overflow}"
    assert (error.status, error.flag, error.headers) == (
        503,
        Flag.UPSTREAM_OVERFLOW,
        ((b"x-envoy-overloaded", b"true"),),
    )
    assert error.retryable == "never"


def test_a_transport_failure_is_in_the_detail_alone() -> None:
    error = failures.reset("remote connection failure", transport_failure="delayed connect error: No route to host")
    assert error.detail.endswith("{remote_connection_failure|delayed_connect_error:_No_route_to_host}")
    assert error.body.endswith("reset reason: remote connection failure")


def test_nothing_is_retried_once_the_response_has_started() -> None:
    error = failures.reset("connection termination", response_started=True)
    assert error.detail == "upstream_reset_after_response_started{connection_termination}"
    assert error.retryable == "never"
    assert failures.reset("connection termination").retryable == "reused"


@pytest.mark.parametrize(("code", "side"), [(errno.EMFILE, "internal"), (errno.ECONNREFUSED, "upstream")])
def test_a_host_that_was_never_asked_is_not_to_blame(code: int, side: str) -> None:
    cause = f"immediate connect error: {os.strerror(code)}"
    error = failures.connect_failed(ConnectFailed(cause, errno=code))
    assert (error.side, error.flag) == (side, Flag.UPSTREAM_CONNECTION_FAILURE)
    assert os.strerror(code).replace(" ", "_") in error.detail
