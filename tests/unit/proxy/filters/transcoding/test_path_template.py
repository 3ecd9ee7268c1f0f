"""Paths of `google.api.http`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.filters.transcoding.path_template import (
    KEPT,
    PathMatcher,
    TemplateError,
    Variable,
    parse,
    query_values,
    unescape,
)


@pytest.mark.parametrize(
    ("text", "segments", "variables", "verb"),
    [
        ("/v1/shelves", ("v1", "shelves"), (), ""),
        ("/v1/{a}", ("v1", "*"), (Variable("a", 1, 2),), ""),
        ("/v1/{a.b_c=shelves/*}/x", ("v1", "shelves", "*", "x"), (Variable("a.b_c", 1, 3),), ""),
        ("/v1/{a=**}", ("v1", "**"), (Variable("a", 1, -1),), ""),
        ("/v1/{a=x/**}:go", ("v1", "x", "**", "go"), (Variable("a", 1, -2),), "go"),
        ("/v1/*/{b}:go", ("v1", "*", "*", "go"), (Variable("b", 2, 3),), "go"),
        ("/**", ("**",), (), ""),
    ],
)
def test_templates(text: str, segments: tuple[str, ...], variables: tuple[Variable, ...], verb: str) -> None:
    found = parse(text)
    assert (found.segments, found.variables, found.verb) == (segments, variables, verb)


@pytest.mark.parametrize(
    "text",
    ["", "v1", "/", "/v1/", "/{a", "/{a}{b}", "/{a=**}/x", "/**/x", "/{a}/{a}", "/a*", "/{1}", "/x:", "/{a={b}}"],
)
def test_what_is_no_template(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


def matcher(
    *templates: str, unescape: str = "ALL_CHARACTERS_EXCEPT_RESERVED", any_verb: bool = False
) -> PathMatcher[str]:
    """Each template leads to itself; `M /path` is for a method, GET by default."""
    found: PathMatcher[str] = PathMatcher(unescape, any_verb=any_verb)
    for text in templates:
        method, _, path = text.rpartition(" ")
        assert found.add(method or "GET", parse(path), text)
    return found


def where(found: PathMatcher[str], path: str, method: str = "GET") -> str | None:
    one = found.find(method, path)
    return None if one is None else one.data


def test_literals_come_before_one_segment_and_that_before_the_rest() -> None:
    found = matcher("/a/b", "/a/*", "/a/**", "/*/b/c", "POST /a/b", "* /any")
    assert where(found, "/a/b") == "/a/b"
    assert where(found, "/a/x") == "/a/*"
    assert where(found, "/a/x/y") == "/a/**"
    assert where(found, "/a") == "/a/**"
    assert where(found, "/a/b/c") == "/a/**"
    assert where(found, "/z/b/c") == "/*/b/c"
    assert where(found, "/a/b", "POST") == "POST /a/b"
    assert where(found, "/any", "PUT") == "* /any"
    assert where(found, "/a/b/") == "/a/b"
    assert where(found, "/b") is None


def test_verbs() -> None:
    found = matcher("/a/{b}:go", "/a/{b}", "/r/{c=**}:go")
    assert found.find("GET", "/a/x:go") == ("/a/{b}:go", (("b", "x"),))
    assert found.find("GET", "/a/x:stop") == ("/a/{b}", (("b", "x:stop"),))
    assert found.find("GET", "/r/x/y:go") == ("/r/{c=**}:go", (("c", "x/y"),))
    assert where(matcher("/a/{b}", any_verb=True), "/a/x:stop") is None


def test_the_same_template_twice() -> None:
    assert not matcher("/a/{b}").add("GET", parse("/a/*"), "other")


@pytest.mark.parametrize(
    ("spec", "one", "several"),
    [
        ("ALL_CHARACTERS_EXCEPT_RESERVED", "/: ", "%2f%3A "),
        ("ALL_CHARACTERS_EXCEPT_SLASH", "/: ", "%2f: "),
        ("ALL_CHARACTERS", "/: ", "/: "),
    ],
)
def test_what_is_unescaped(spec: str, one: str, several: str) -> None:
    found = matcher("/a/{b}", "/r/{c=**}", unescape=spec)
    assert found.find("GET", "/a/%2f%3A%20") == ("/a/{b}", (("b", one),))
    assert found.find("GET", "/r/%2f%3A%20") == ("/r/{c=**}", (("c", several),))


@given(st.text(), st.sampled_from(sorted(KEPT)))
def test_any_text_can_be_unescaped(text: str, spec: str) -> None:
    unescape(text.encode("utf-8", "replace").decode("latin-1"), KEPT[spec])


@given(st.text(st.characters(codec="utf-8")))
def test_what_was_escaped_comes_back(text: str) -> None:
    assert unescape("".join(f"%{octet:02X}" for octet in text.encode())) == text


def test_queries() -> None:
    query = "a=1&b.c=x%20y+z&key=3&d&=4&e=&a=2"
    found = [("a", "1"), ("b.c", "x y+z"), ("e", ""), ("a", "2")]
    assert query_values(query, frozenset({"key"}), plus=False) == found
    assert query_values("a=x+y%2B", frozenset(), plus=True) == [("a", "x y+")]
