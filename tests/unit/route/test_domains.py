"""Virtual-host pick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.route.domains import DomainTable

DOMAINS = ["a.example.com", "*.example.com", "*-b.example.com", "*example.com", "a.*", "a.example.*", "*"]
LABELS = st.sampled_from(["a", "b", "A", "com", "x-b", "", "*"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.builds(
    lambda kind, name: {"exact": name, "suffix": f"*{name}", "prefix": f"{name}*", "any": "*"}[kind],
    st.sampled_from(["exact", "suffix", "prefix", "any"]),
    NAMES.filter(lambda name: "*" not in name and name != ""),
)


@pytest.mark.parametrize(
    ("authority", "domain"),
    [
        ("a.example.com", "a.example.com"),
        ("A.EXAMPLE.com", "a.example.com"),
        ("x.example.com", "*.example.com"),
        ("x-b.example.com", "*-b.example.com"),
        ("xexample.com", "*example.com"),
        ("example.com", "*"),  # a wildcard never stands for the empty string
        (".example.com", "*example.com"),
        ("a.example.com:8080", "a.example.*"),  # the port counts, so this is not the exact domain
        ("a.org", "a.*"),
        ("a.", "*"),
        ("", "*"),
    ],
)
def test_the_order_of_envoy(authority: str, domain: str) -> None:
    assert DomainTable([(name, name) for name in DOMAINS]).find(authority.encode()) == domain


def test_without_a_default_nothing_is_found() -> None:
    assert DomainTable([("a.com", 1), ("*.b.com", 2)]).find(b"b.com") is None


def naive(patterns: list[str], authority: str) -> str | None:
    """The rule in words: exact, then the longest suffix wildcard, then the longest prefix wildcard, then `*`."""
    host = authority.lower()
    by_rank: list[tuple[int, int, str]] = []
    for pattern in patterns:
        low = pattern.lower()
        if low == "*":
            by_rank.append((3, 0, pattern))
        elif low.startswith("*"):
            if len(host) >= len(low) and host.endswith(low[1:]):
                by_rank.append((1, -len(low), pattern))
        elif low.endswith("*"):
            if len(host) >= len(low) and host.startswith(low[:-1]):
                by_rank.append((2, -len(low), pattern))
        elif low == host:
            by_rank.append((0, 0, pattern))
    return min(by_rank)[2] if by_rank else None


@given(st.lists(PATTERNS, max_size=12, unique_by=str.lower), NAMES)
def test_equal_to_a_linear_search(patterns: list[str], authority: str) -> None:
    table = DomainTable([(pattern, pattern) for pattern in patterns])
    assert table.find(authority.encode()) == naive(patterns, authority)
