"""Mutations of routes: in each level all values see the headers as its removals left them."""

from __future__ import annotations

from proxy.config.header_mutation import Action, HeaderMutations, Mutation
from proxy.filters.header_edits import LevelEdits, RouteEdits
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from tests.unit.route.requests import request


def edited(*mutations: Mutation, headers: tuple[tuple[bytes, bytes], ...] = ()) -> list[tuple[bytes, bytes]]:
    info = StreamInfo(0.0)
    info.request = request("/p")
    info.request.headers = Headers(headers)
    LevelEdits(mutations).apply(info.request.headers, info)
    return info.request.headers.items


def write(name: bytes, value: str, action: Action = "APPEND_IF_EXISTS_OR_ADD") -> Mutation:
    return Mutation(name, action, value)


def test_removals_come_first_and_additions_last() -> None:
    found = edited(
        write(b"a", "1"),
        write(b"b", "%REQ(gone)%|%REQ(c)%"),
        write(b"c", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
        Mutation(b"gone", "REMOVE"),
        headers=((b"gone", b"x"), (b"c", b"old"), (b"d", b"y")),
    )
    assert found == [(b"d", b"y"), (b"c", b"new"), (b"a", b"1"), (b"b", b"|old")]


def test_what_is_absent_at_first_is_absent_for_all_of_a_level() -> None:
    assert edited(write(b"a", "1", "ADD_IF_ABSENT"), write(b"a", "2", "ADD_IF_ABSENT")) == [(b"a", b"1"), (b"a", b"2")]
    assert edited(write(b"a", "1"), write(b"a", "2", "OVERWRITE_IF_EXISTS")) == [(b"a", b"1")]


def test_an_empty_value_is_none_unless_it_is_to_be_kept() -> None:
    kept = Mutation(b"b", "APPEND_IF_EXISTS_OR_ADD", "", keep_empty=True)
    assert edited(write(b"a", "%REQ(none)%"), kept) == [(b"b", b"")]


def test_levels_in_turn() -> None:
    def level(value: str) -> HeaderMutations:
        over = write(b"o", value, "OVERWRITE_IF_EXISTS_OR_ADD")
        return HeaderMutations(request=(write(b"a", value), over), response=(over,))

    edits = RouteEdits()((level("route"), HeaderMutations(), level("host")))
    headers, info = Headers(), StreamInfo(0.0)
    assert edits.request is not None
    assert edits.response is not None
    edits.request(headers, info)
    assert headers.items == [(b"a", b"route"), (b"o", b"host"), (b"a", b"host")]
    edits.response(headers, info)
    assert headers.items[-1] == (b"o", b"host")


def test_nothing_to_do_costs_nothing() -> None:
    edits = RouteEdits()((HeaderMutations(), HeaderMutations()))
    assert (edits.request, edits.response, edits.constant) == (None, None, True)


def test_a_value_with_operators_is_not_constant() -> None:
    compile_edits = RouteEdits()
    assert compile_edits((HeaderMutations(request=(write(b"a", "b"),)),)).constant
    assert not compile_edits((HeaderMutations(response=(write(b"a", "%PROTOCOL%"),)),)).constant
