import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dns.resolv_conf import ResolvConf, parse


def test_the_usual_lines() -> None:
    text = """
# a comment
nameserver 10.0.0.1
nameserver fd00::1
search svc.cluster.local cluster.local. example.com
options ndots:5 timeout:2 attempts:3 rotate edns0
"""
    assert parse(text) == ResolvConf(
        nameservers=("10.0.0.1", "fd00::1"),
        search=("svc.cluster.local", "cluster.local", "example.com"),
        ndots=5,
        timeout=2,
        attempts=3,
    )


def test_defaults() -> None:
    assert parse("") == ResolvConf()
    assert parse("", "host.example.com").search == ("example.com",)
    assert parse("search .", "host.example.com").search == ()
    assert parse("domain a.example\nsearch b.example").search == ("b.example",)
    assert parse("search b.example\ndomain a.example").search == ("a.example",)


def test_nonsense_is_ignored_and_figures_are_cut() -> None:
    text = (
        "nameserver\nnameserver nonsense\nnameserver 1.1.1.1\noptions ndots:99 timeout:x attempts:0 timeout:4000 :::\n"
    )
    assert parse(text) == ResolvConf(nameservers=("1.1.1.1",), ndots=15, timeout=30, attempts=1)
    assert len(parse("nameserver 1.1.1.1\n" * 9).nameservers) == 3


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    conf = parse(text)
    assert conf.nameservers


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("web", 1, ("web.a", "web.b.c", "web")),
        ("web.x", 1, ("web.x", "web.x.a", "web.x.b.c")),
        ("web.x", 2, ("web.x.a", "web.x.b.c", "web.x")),
        ("web.x.y", 2, ("web.x.y", "web.x.y.a", "web.x.y.b.c")),
        ("web.", 1, ("web",)),
        ("web", 0, ("web", "web.a", "web.b.c")),
    ],
)
def test_names_are_tried_in_glibcs_order(name: str, ndots: int, expected: tuple[str, ...]) -> None:
    assert ResolvConf(search=("a", "b.c"), ndots=ndots).candidates(name) == expected
