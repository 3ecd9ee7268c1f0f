"""The nearest valid name."""

from __future__ import annotations

import pytest

from master.config.suggest import nearest

FIELDS = ["name", "alt_stat_name", "connect_timeout", "lb_policy", "load_assignment"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("nmae", "name"),
        ("conect_timeout", "connect_timeout"),
        ("connectTimeout", "connect_timeout"),
        ("CONNECT-TIMEOUT", "connect_timeout"),
        ("lbPolcy", "lb_policy"),
        ("zebra", ""),
        ("", ""),
    ],
)
def test_nearest(word: str, expected: str) -> None:
    assert nearest(word, FIELDS) == expected


def test_no_names() -> None:
    assert nearest("name", []) == ""
