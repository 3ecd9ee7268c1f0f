"""`header_mutation`: compiled from YAML, then run in a server."""

from __future__ import annotations

import pytest

from proxy.config.header_mutation import Mutation
from proxy.filters.header_edits import Edit
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from tests.kit.config import bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import through

PACKAGE = "envoy.extensions.filters.http.header_mutation.v3"
RULE = "envoy.config.common.mutation_rules.v3.HeaderMutation"
OPTION = "envoy.config.core.v3.HeaderValueOption"


def mutation(mutations: str, more: str = "") -> str:
    """YAML of the filter `hm`."""
    body = f'"@type": type.googleapis.com/{PACKAGE}.HeaderMutation, mutations: {{{mutations}}}, {more}'
    return f"{{name: hm, typed_config: {{{body}}}}}"


def appended(header: str, more: str = "") -> str:
    return f"append: {{header: {{{header}}}, {more}}}"


@run_trio
@pytest.mark.field(
    f"{PACKAGE}.HeaderMutation.mutations",
    f"{PACKAGE}.Mutations.request_mutations",
    f"{PACKAGE}.Mutations.response_mutations",
    f"{RULE}.remove",
    f"{RULE}.append",
    f"{OPTION}.header",
    "envoy.config.core.v3.HeaderValue.key",
    "envoy.config.core.v3.HeaderValue.value",
)
async def test_requests_and_responses() -> None:
    text = mutation(
        f"request_mutations: [{{remove: X-Gone}}, {{{appended('key: X-Up, value: 100%%')}}}],"
        f"response_mutations: [{{{appended('key: x-down, value: b')}}}]"
    )
    head, answer = await through(text, b"GET / HTTP/1.1\r\nhost: a\r\nx-gone: 1\r\nx-up: 0\r\n\r\n")
    assert b"x-gone" not in head
    assert b"\r\nx-up: 0\r\n" in head
    assert b"\r\nx-up: 100%\r\n" in head
    assert b"\r\nx-down: b\r\n" in answer


@run_trio
@pytest.mark.field(f"{OPTION}.append_action", f"{OPTION}.keep_empty_value")
async def test_actions_and_empty_values() -> None:
    text = mutation(
        f"request_mutations: [{{{appended('key: x-a, value: new', 'append_action: OVERWRITE_IF_EXISTS_OR_ADD')}}},"
        f"{{{appended('key: x-b')}}}, {{{appended('key: x-c', 'keep_empty_value: true')}}}]"
    )
    head, _ = await through(text, b"GET / HTTP/1.1\r\nhost: a\r\nx-a: old\r\n\r\n")
    assert b"x-a: old" not in head
    assert b"\r\nx-a: new\r\n" in head
    assert b"x-b" not in head
    assert b"\r\nx-c: \r\n" in head


@run_trio
@pytest.mark.field(
    f"{PACKAGE}.HeaderMutationPerRoute.mutations", f"{PACKAGE}.HeaderMutation.most_specific_header_mutations_wins"
)
async def test_the_order_of_the_levels() -> None:
    text = mutation("", "most_specific_header_mutations_wins: true")

    def level(value: str) -> str:
        line = f"{{{appended(f'key: x-l, value: {value}')}}}"
        message = f"type.googleapis.com/{PACKAGE}.HeaderMutationPerRoute"
        own = f'{{"@type": {message}, mutations: {{request_mutations: [{line}]}}}}'
        return f"typed_per_filter_config: {{hm: {own}}}"

    routes = (
        f'{{name: r, {level("config")}, virtual_hosts: [{{name: v, domains: ["*"], {level("host")}, routes: ['
        f'{{match: {{prefix: "/"}}, route: {{cluster: origin}}, {level("route")}}}]}}]}}'
    )
    head, _ = await through(text, route_config=routes)
    assert [line for line in head.split(b"\r\n") if line.startswith(b"x-l")] == [
        b"x-l: config",
        b"x-l: host",
        b"x-l: route",
    ]


@run_trio
async def test_values_with_operators() -> None:
    method = appended('key: x-m, value: "100%% %REQ(:METHOD)%"')
    absent = appended('key: x-none, value: "%REQ(x-absent)%"')
    ways = appended('key: x-down, value: "%REQ(x-a)%/%RESP(x-b)%"')
    text = mutation(f"request_mutations: [{{{method}}}, {{{absent}}}], response_mutations: [{{{ways}}}]")
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-b: down\r\n\r\n"
    head, answer = await through(text, b"GET / HTTP/1.1\r\nhost: a\r\nx-a: up\r\n\r\n", response=response)
    assert b"\r\nx-m: 100% GET\r\n" in head
    assert b"x-none" not in head
    assert b"\r\nx-down: up/down\r\n" in answer


@pytest.mark.parametrize(
    ("action", "none", "two"),
    [
        ("APPEND_IF_EXISTS_OR_ADD", [b"n"], [b"1", b"2", b"n"]),
        ("ADD_IF_ABSENT", [b"n"], [b"1", b"2"]),
        ("OVERWRITE_IF_EXISTS_OR_ADD", [b"n"], [b"n"]),
        ("OVERWRITE_IF_EXISTS", [], [b"n"]),
        ("REMOVE", [], []),
    ],
)
def test_every_action_on_none_and_on_two(action: str, none: list[bytes], two: list[bytes]) -> None:
    for before, after in (([], none), ([(b"x", b"1"), (b"y", b""), (b"x", b"2")], two)):
        headers = Headers(before)
        Edit(Mutation(b"x", action, "n")).apply(headers, StreamInfo(0.0))
        assert headers.get_all(b"x") == after
        assert (b"y" in headers) == bool(before)


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        (appended("key: ':path', value: x"), "append.header.key", ":-prefixed or host headers may not be modified"),
        (appended("key: Host, value: x"), "append.header.key", ":-prefixed or host headers may not be modified"),
        ("remove: host", "remove", ":-prefixed or host headers may not be modified"),
        (appended("key: 'x y', value: x"), "append.header.key", "'x y' is not a header name"),
        (appended("key: x, value: '50%'"), "append.header.value", "incorrect configuration at offset 2: '%'"),
        (appended("key: x, value: '%NOPE%'"), "append.header.value", "unknown operator %NOPE%"),
        (appended('key: x, value: "a\\x01"'), "append.header.value", "'a\\x01' is not a header value"),
    ],
)
def test_what_cannot_work_is_refused(line: str, path: str, message: str) -> None:
    text = bootstrap(http_filters=f"- {mutation(f'response_mutations: [{{{line}}}]')}\n{ROUTER}")
    (found,) = findings(text)
    assert found.field_path.endswith(f"mutations.response_mutations[0].{path}")
    assert found.message == message


ROUTER = '- {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}'
