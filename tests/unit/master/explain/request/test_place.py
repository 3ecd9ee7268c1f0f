"""Where the configuration says something: looked up in the bootstrap as JSON, located in its text."""

from __future__ import annotations

import json
from typing import Any

from master.config.finding import Position
from master.explain.request.answer import Setting
from master.explain.request.located import located
from master.explain.request.place import DEFAULT, Place, Places
from tests.kit.config import bootstrap, checked

SOURCE: dict[str, Any] = {
    "a": [{"b": {"c": 0}}, {"b": {}}],
    "typed": {"@type": "t", "type_url": "x", "value": {"someField": 1, "other_field": 2}},
}


def test_what_is_set_has_a_place_and_what_is_not_is_a_default() -> None:
    places = Places(SOURCE)
    assert places.of("a", 0, "b", "c") == Place(("a", 0, "b", "c"))
    assert str(places.of("a", 0, "b", "c")) == "a[0].b.c"
    assert places.of("a", 1, "b", "c") == places.of("a", 2) == places.of("a", "b") == DEFAULT
    assert str(DEFAULT) == "(default)"
    assert places.first(("none",), ("a", 1), ("a", 0)) == Place(("a", 1))


def test_a_typed_struct_stands_for_the_message_in_it() -> None:
    places = Places(SOURCE)
    assert places.value(("typed", "some_field")) == 1
    assert places.value(("typed", "other_field")) == 2


def test_of_a_list_of_which_elements_were_dropped_nobody_knows_the_number() -> None:
    places = Places(SOURCE)
    assert places.index(("a",), 1, 2) == ("a", 1)
    assert places.index(("a",), 0, 1) == ("a",)


def test_places_are_located_in_the_text() -> None:
    text = bootstrap()
    result = checked(text)
    assert result.config is not None
    places = Places(json.loads(result.config.source))
    path = ("static_resources", "clusters", 0, "name")
    at = located((Setting("x", "y", places.of(*path)), Setting("z", "none")), result.locate)
    line = text.splitlines().index("  - name: origin") + 1
    assert at == (Setting("x", "y", Place(path, "envoy.yaml", line, 5)), Setting("z", "none"))
    assert str(at[0].place) == f"envoy.yaml:{line}:5"
    assert Place(path).located(lambda path: Position("f", 1, 2)) == Place(path, "f", 1, 2)
    assert Place(path).located(lambda path: None) == Place(path)
