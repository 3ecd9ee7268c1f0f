"""Requests as messages: what cannot be one is told so."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.filters.transcoding import messages
from proxy.filters.transcoding.messages import ABSENT, Reading, Untranslatable
from proxy.filters.transcoding.methods import Methods, field_path
from tests.kit.books import descriptor_set

METHODS = Methods(descriptor_set(), ["t.Books"])


def ask(body: Any, *bound: tuple[str, str]) -> Any:
    """The message of a request whose body is all of it."""
    found = METHODS.matcher.find("PATCH", "/v1/books")
    assert found is not None
    method = found.data
    bindings = [(field_path(method.request.DESCRIPTOR, path), value) for path, value in bound]
    return messages.request(METHODS, method, body, bindings, Reading())


def sequels(depth: int) -> dict[str, Any]:
    """A book that many others follow."""
    book: dict[str, Any] = {}
    for _ in range(depth):
        book = {"sequel": book}
    return {"book": book}


def test_bindings_are_added_to_the_body() -> None:
    message = ask({"book": {"name": "n"}, "tag": ["a"]}, ("book.id", "7"), ("tag", "b"), ("shelf", "s"))
    assert (message.book.name, message.book.id, list(message.tag), message.shelf) == ("n", 7, ["a", "b"], "s")


@pytest.mark.parametrize(
    ("body", "bound", "words"),
    [
        (ABSENT, [("book", "1"), ("book.name", "x")], "book: bound as a value, and a field of it as well"),
        (ABSENT, [("book.name", "x"), ("book", "1")], "book"),
        ({"book": 3}, [("book.name", "x")], "book"),
        ({"tag": 3}, [("tag", "x")], "tag"),
        ([], [], "no object"),
        (sequels(150), [], "sequel"),
        (sequels(450), [], "recursion"),
    ],
    ids=["value, then field", "field, then value", "no message", "no list", "a list", "deep", "deeper"],
)
def test_what_is_no_message(body: Any, bound: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(Untranslatable, match=words):
        ask(body, *bound)
