"""HTTP filters and direct responses: the same configuration and bytes, the same answers and the same request behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

FILTERS = "type.googleapis.com/envoy.extensions.filters"
MUTATION = f"{FILTERS}.http.header_mutation.v3.HeaderMutation"
BUFFER = f"{FILTERS}.http.buffer.v3.Buffer"
Fields = dict[str, Any]


def append(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **more: Any) -> Fields:
    return {"append": {"header": {"key": key, "value": value}, "append_action": action, **more}}


def both(*mutations: Fields) -> Fields:
    return {"request_mutations": list(mutations), "response_mutations": list(mutations)}


def per_route(name: str, *mutations: Fields) -> Fields:
    return {name: {"@type": f"{MUTATION}PerRoute", "mutations": both(*mutations)}}


ACTIONS = both(
    append("x-add", "new"),
    append("x-absent", "new", "ADD_IF_ABSENT"),
    append("x-over", "new", "OVERWRITE_IF_EXISTS_OR_ADD"),
    append("x-exists", "new", "OVERWRITE_IF_EXISTS"),
    append("x-empty", ""),
    append("x-kept", "", keep_empty_value=True),
    append("X-Percent", "100%% sure"),
    append("x-operators", "%REQ(:METHOD)% %REQ(x-none)%|%REQ(x-add)%|%PROTOCOL%|%RESP(x-add)%"),
    append("x-nothing", "%REQ(x-none)%"),
    append("x-nothing-kept", "%REQ(x-none)%", keep_empty_value=True),
    {"remove": "X-Gone"},
    append("x-twice", "1"),
    append("x-twice", "2", "OVERWRITE_IF_EXISTS_OR_ADD"),
    append("x-twice", "3"),
)
DIRECT: dict[str, tuple[int, Fields | None]] = {
    "/plain": (200, {"inline_string": "hello"}),
    "/bytes": (418, {"inline_bytes": "/wBi"}),
    "/none": (200, None),
    "/empty": (503, {"inline_string": ""}),
    "/created": (201, {"inline_string": "made"}),
    "/moved": (301, None),
    "/odd": (399, {"inline_string": "odd"}),
    "/no-content": (204, None),
    "/not-modified": (304, {"inline_string": "dropped"}),
    "/unknown": (599, {"inline_string": "x"}),
}


def levels(name: str, **filter_fields: Any) -> Fields:
    """A listener whose route, virtual host and route configuration all have mutations of their own."""
    over = "OVERWRITE_IF_EXISTS_OR_ADD"
    host = virtual_host(
        "v",
        ["*"],
        route("/special", "origin")
        | {"typed_per_filter_config": per_route("hm", append("x-l", "route"), append("x-o", "route", over))},
        route("/", "origin"),
    )
    host["typed_per_filter_config"] = per_route("hm", append("x-l", "host"), append("x-o", "host", over))
    listener = http_listener(
        name=name,
        http_filters=[
            {
                "name": "hm",
                "typed_config": {
                    "@type": MUTATION,
                    "mutations": both(append("x-l", "filter"), append("x-o", "filter", over)),
                    **filter_fields,
                },
            },
            ROUTER,
        ],
    )
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"] = [host]
    own = per_route("hm", append("x-l", "config"), append("x-o", "config", over))
    manager["route_config"]["typed_per_filter_config"] = own
    return listener


ROUTER = {"name": "router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin() as origin:
        everything = virtual_host("everything", ["*"], route("/", "origin"))
        mutating = {"name": "hm", "typed_config": {"@type": MUTATION, "mutations": ACTIONS}}
        buffering = {"name": "b", "typed_config": {"@type": BUFFER, "max_request_bytes": 100}}
        overrides = {
            "/off": {"disabled": True},
            "/more": {"buffer": {"max_request_bytes": 200}},
        }
        buffered = virtual_host(
            "buffered",
            ["*"],
            *(
                route(prefix, "origin") | {"typed_per_filter_config": {"b": {"@type": f"{BUFFER}PerRoute", **own}}}
                for prefix, own in overrides.items()
            ),
            route("/", "origin"),
        )
        direct = virtual_host(
            "direct",
            ["*"],
            *(
                {"match": {"prefix": prefix}, "direct_response": {"status": status} | ({"body": body} if body else {})}
                for prefix, (status, body) in {
                    **DIRECT,
                    "/text-no-content": (204, {"inline_string": "dropped"}),
                }.items()
            ),
        )
        raw = {
            "name": "raw",
            "address": socket_address("127.0.0.1", 0),
            "filter_chains": [
                {
                    "filters": [
                        {
                            "name": "d",
                            "typed_config": {
                                "@type": f"{FILTERS}.network.direct_response.v3.Config",
                                "response": {"inline_string": "bye\n"},
                            },
                        }
                    ]
                }
            ],
        }
        listeners = [
            http_listener(everything, name="mutate", http_filters=[mutating, ROUTER]),
            levels("least"),
            levels("most", most_specific_header_mutations_wins=True),
            http_listener(buffered, name="buffer", http_filters=[buffering, ROUTER]),
            http_listener(direct, name="direct"),
            raw,
        ]
        with run_pair(bootstrap(listeners, [static_cluster("origin", origin.port)])) as running:
            yield running


def head(target: str, *lines: str, method: str = "GET") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: h:1", *lines, "")).encode("latin-1")


NAMES = ("x-add", "x-absent", "x-over", "x-exists", "x-empty", "x-kept", "x-gone", "x-twice")


@pytest.mark.parity(
    "rule 11",
    *of("extensions.filters.http.header_mutation.v3.Mutations", "request_mutations"),
    *of("config.core.v3.HeaderValueOption", "append_action", "keep_empty_value"),
)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_mutations_of_requests(pair: Pair, count: int) -> None:
    lines = [f"{name}: {number}" for number in range(count) for name in NAMES]
    pair.send(head("/", *lines), listener="mutate").assert_same()


@pytest.mark.parity("rule 11", *of("extensions.filters.http.header_mutation.v3.Mutations", "response_mutations"))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_mutations_of_responses(pair: Pair, count: int) -> None:
    script = "&".join(f"header={name}:{number}" for number in range(count) for name in NAMES)
    pair.send(head(f"/?body=3&{script}"), listener="mutate").assert_same()


@pytest.mark.parity(
    "rule 10",
    *of(
        "extensions.filters.http.header_mutation.v3.HeaderMutation", "mutations", "most_specific_header_mutations_wins"
    ),
    *of("extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute", "mutations"),
    "config.route.v3.Route.typed_per_filter_config",
    "config.route.v3.VirtualHost.typed_per_filter_config",
    "config.route.v3.RouteConfiguration.typed_per_filter_config",
)
@pytest.mark.parametrize("listener", ["least", "most"])
@pytest.mark.parametrize("target", ["/special", "/", "/special?body=1", "/?body=1"])
def test_levels(pair: Pair, listener: str, target: str) -> None:
    pair.send(head(target), listener=listener).assert_same()


@pytest.mark.parity(
    *of("extensions.filters.http.buffer.v3.Buffer", "max_request_bytes"),
    *of("extensions.filters.http.buffer.v3.BufferPerRoute", "disabled", "buffer"),
)
@pytest.mark.parametrize("target", ["/", "/off", "/more"])
@pytest.mark.parametrize("size", [0, 1, 100, 101, 201, 40000])
@pytest.mark.parametrize("chunked", [False, True])
def test_buffer(pair: Pair, target: str, size: int, chunked: bool) -> None:
    body = b"a" * size
    if chunked:
        data = head(target, "Transfer-Encoding: chunked", method="POST")
        data += (b"%x\r\n%b\r\n" % (size, body) if size else b"") + b"0\r\n\r\n"
    else:
        data = head(target, f"Content-Length: {size}", method="POST") + body
    answers = pair.send(data, listener="buffer")
    assert answers.ours.status == (413 if size > {"/": 100, "/off": 1 << 20, "/more": 200}[target] else 200)
    answers.assert_same()


@pytest.mark.parity("rule 20", *of("extensions.filters.http.buffer.v3.Buffer", "max_request_bytes"))
def test_buffer_of_nothing_and_of_a_body_that_waits(pair: Pair) -> None:
    pair.send(head("/"), listener="buffer").assert_same()
    data = head("/", "Expect: 100-continue", "Content-Length: 3", method="POST")
    pair.send(data, listener="buffer", then=b"abc").assert_same()


@pytest.mark.parity(
    "rule 8",
    "rule 9",
    *of("config.route.v3.DirectResponseAction", "status", "body"),
    *of("config.core.v3.DataSource", "inline_string", "inline_bytes"),
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("target", DIRECT)
def test_direct_response(pair: Pair, target: str, method: str) -> None:
    pair.send(head(f"{target}?a=b", "Content-Length: 0", method=method), listener="direct").assert_same()


@pytest.mark.parity("rule 68")
def test_direct_response_without_content(pair: Pair) -> None:
    answers = pair.send(head("/text-no-content"), listener="direct")
    assert answers.envoy.only.value("content-length") == "7"
    assert answers.ours.only.value("content-length") is None
    assert answers.ours.status == answers.envoy.status == 204


@pytest.mark.parity("rule 9", "rule 20")
def test_direct_response_before_the_body(pair: Pair) -> None:
    pair.send(head("/plain", "Content-Length: 9", method="POST") + b"abc", listener="direct").assert_same()


@pytest.mark.parity("rule 9", "rule 52")
def test_direct_response_stats(pair: Pair) -> None:
    names = [f"http.direct.{name}" for name in ("rq_direct_response", "rq_total", "downstream_rq_2xx")]
    before = pair.ours.stats(), pair.envoy.stats()
    pair.send(head("/plain"), listener="direct")
    ours, envoy = (
        {name: now.get(name, 0) - then.get(name, 0) for name in names}
        for now, then in zip((pair.ours.stats(), pair.envoy.stats()), before, strict=True)
    )
    assert ours == envoy
    assert ours["http.direct.rq_direct_response"] > 0


@pytest.mark.parity(*of("extensions.filters.network.direct_response.v3.Config", "response"))
@pytest.mark.parametrize("data", [b"", b"x" * 1000])
def test_network_direct_response(pair: Pair, data: bytes) -> None:
    seen = []
    for address in (pair.envoy.address("raw"), pair.ours.address("raw")):
        with socket.create_connection(address, 10) as client:
            client.sendall(data)
            seen.append(b"".join(iter(lambda client=client: client.recv(100), b"")))
    assert seen[0] == seen[1] == b"bye\n"
