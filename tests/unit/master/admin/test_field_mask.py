"""Field masks over JSON."""

from __future__ import annotations

from typing import Any

import pytest

from master.admin.field_mask import applies, parse, trim

DUMP: dict[str, Any] = {
    "@type": "t",
    "bootstrap": {"node": {"id": "n", "cluster": "c"}, "admin": {}},
    "list": [{"a": 1}],
}


def test_parse() -> None:
    assert parse("a.b,c") == (("a", "b"), ("c",))
    assert parse("") == ()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("bootstrap", True), ("bootstrap.node.id", True), ("bootstrap.unset", True), ("list", True), ("list.a", False),
     ("other", False), ("bootstrap,other", False), ("bootstrap.node.id.deeper", False)],
)  # fmt: skip
def test_applies(mask: str, expected: bool) -> None:
    assert applies(DUMP, parse(mask)) is expected


def test_trim_keeps_the_type_and_what_is_named() -> None:
    assert trim(DUMP, parse("bootstrap.node.id,list")) == {
        "@type": "t",
        "bootstrap": {"node": {"id": "n"}},
        "list": [{"a": 1}],
    }
    assert trim(DUMP, parse("bootstrap.node.id,bootstrap")) == {"@type": "t", "bootstrap": DUMP["bootstrap"]}
