"""URI templates as regular expressions. (tests/parity/test_route_verdicts.py compares verdicts with Envoy's.)"""

from __future__ import annotations

import re

import pytest

from master.config.compile.uri_template import TemplateError, compile_rewrite, compile_template


@pytest.mark.parametrize(
    ("text", "matching", "others"),
    [
        ("/", ["/"], ["", "/a"]),
        ("/a/", ["/a/"], ["/a"]),
        ("/a.b", ["/a.b"], ["/axb"]),
        ("/*", ["/a", "/%20;x=*"], ["/", "/a/b", "/[", "/a?b"]),
        ("/a/**", ["/a/", "/a/b/c"], ["/a"]),
        ("/{x}/{y=b/*}.html", ["/a/b/c.html"], ["/a/b/c", "/a/c/c.html"]),
        ("/x{y=**}z/w", ["/xz/w", "/xa/bz/w"], ["/x/w"]),
        ("/*.html", ["/a.html"], ["/.html"]),
    ],
)
def test_what_a_template_matches(text: str, matching: list[str], others: list[str]) -> None:
    pattern = re.compile(compile_template(text).pattern)
    for path in matching:
        assert pattern.fullmatch(path), path
    for path in others:
        assert not pattern.fullmatch(path), path


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a", "begins with /"),
        ("/a b", "no spaces"),
        ("/{a", "nothing closes"),
        ("/a//b", "empty"),
        ("/{a=b//c}", "empty"),
        ("/{1}", "no variable"),
        ("/{a}/{a}", "twice"),
        ("/**/*", "behind a \\*\\*"),
        ("/**b/c", "at the end"),
        ("/a*", "no literal"),
        ("/{a}{b}", "no literal"),
    ],
)
def test_what_is_no_template(text: str, word: str) -> None:
    with pytest.raises(TemplateError, match=word):
        compile_template(text)


def test_a_rewrite_refers_to_variables_by_number() -> None:
    variables = compile_template("/{a}/{b=**}").variables
    assert compile_rewrite("/x/{b}-{a}.html", variables) == r"/x/\2-\1.html"


@pytest.mark.parametrize(("text", "word"), [("x", "begins with /"), ("/{c}", "no variable"), ("/{a", "no literal")])
def test_what_is_no_rewrite(text: str, word: str) -> None:
    with pytest.raises(TemplateError, match=word):
        compile_rewrite(text, ("a", "b"))
