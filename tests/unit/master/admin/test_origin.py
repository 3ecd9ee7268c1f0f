"""Which Host and Origin headers are accepted over TCP."""

from __future__ import annotations

import pytest

from master.admin.origin import host_allowed, host_of, origin_allowed


@pytest.mark.parametrize(
    "authority",
    ["127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "[::1]", "10.2.3.4:80", "localhost:9901", "LOCALHOST", "envoy:9901",
     "proxy.prod.svc.cluster.local:9901", "node.internal", "box.example.org:1", "Box.Example.ORG."],
)  # fmt: skip
def test_names_that_nobody_else_can_register(authority: str) -> None:
    assert host_allowed(authority, "box.example.org")


@pytest.mark.parametrize(
    "authority",
    ["", ":80", "evil.com", "evil.com:9901", "evil.com.", "127.0.0.1.evil.com", "localhost.evil.com", "local.evil.com",
     "box.example.org.evil.com", "127.0.0.1@evil.com", "evil.com/127.0.0.1"],
)  # fmt: skip
def test_names_that_an_attacker_can_own(authority: str) -> None:
    assert not host_allowed(authority, "box.example.org")


def test_host_of() -> None:
    assert [host_of(text) for text in ("a:1", "[::1]:2", "[::1]", "A.B.", "")] == ["a", "::1", "::1", "a.b", ""]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:9901", True),
        ("https://127.0.0.1:9901", True),
        ("http://127.0.0.1:9902", False),
        ("http://127.0.0.1", False),
        ("http://evil.com", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:9901", False),
    ],
)
def test_a_page_must_be_our_own(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, "127.0.0.1:9901") is allowed
