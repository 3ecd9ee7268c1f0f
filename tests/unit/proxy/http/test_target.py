"""Host and path before routing."""

from __future__ import annotations

import pytest

from proxy.config.target import TargetRules
from proxy.errors import ProxyError
from proxy.http.target import Target
from tests.unit.route.requests import request


def host(authority: str, port: bytes = b"80", **rules: object) -> bytes:
    found = request(authority=authority)
    Target(TargetRules(**rules)).apply_to_host(found, port)  # type: ignore[arg-type]
    return found.authority


@pytest.mark.parametrize(
    ("authority", "any_port", "matching", "dot"),
    [
        ("h", b"h", b"h", b"h"),
        ("h:80", b"h", b"h", b"h:80"),
        ("h:81", b"h", b"h:81", b"h:81"),
        ("h:", b"h:", b"h:", b"h:"),
        ("h:x", b"h:x", b"h:x", b"h:x"),
        ("[::1]:80", b"[::1]", b"[::1]", b"[::1]:80"),
        ("[::1]", b"[::1]", b"[::1]", b"[::1]"),
        ("h.", b"h.", b"h.", b"h"),
        ("h.:80", b"h.", b"h.", b"h:80"),
        ("h:80.", b"h:80.", b"h:80.", b"h:80"),
    ],
)
def test_host(authority: str, any_port: bytes, matching: bytes, dot: bytes) -> None:
    assert host(authority, strip_port="any") == any_port
    assert host(authority, strip_port="matching") == matching
    assert host(authority, strip_trailing_dot=True) == dot


def test_a_unix_socket_has_no_port_to_match() -> None:
    assert host("h:0", b"", strip_port="matching") == b"h:0"


def path(text: str, **rules: object) -> bytes:
    found = request(text)
    Target(TargetRules(**rules)).apply_to_path(found)  # type: ignore[arg-type]
    return found.path


def test_the_order_is_slashes_dots_slashes() -> None:
    assert path("/a%2f..%2f%2fb", escaped_slashes="FORWARD", normalize_path=True, merge_slashes=True) == b"/b"


@pytest.mark.parametrize(("action", "status", "close"), [("REJECT", 400, True), ("REDIRECT", 307, False)])
def test_escaped_slashes(action: str, status: int, close: bool) -> None:
    with pytest.raises(ProxyError) as caught:
        path("/a%2Fb?c", escaped_slashes=action)
    error = caught.value
    assert (error.status, error.close, error.detail) == (status, close, "path_normalization_failed")
    assert error.headers == (((b"location", b"/a/b?c"),) if status == 307 else ())
    assert path("/a?%2f", escaped_slashes=action) == b"/a?%2f"


def test_an_escaped_null_is_refused() -> None:
    with pytest.raises(ProxyError):
        path("/%00", normalize_path=True)


def test_what_is_kept() -> None:
    assert Target(TargetRules()).keeps(b"/a/../b")
    assert not Target(TargetRules(normalize_path=True)).keeps(b"/a/../b")
    assert Target(TargetRules(normalize_path=True)).keeps(b"/a/b")


def test_a_target_that_is_no_path_stays() -> None:
    assert path("*", normalize_path=True) == b"*"
