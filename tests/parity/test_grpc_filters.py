"""The filters between gRPC and other clients or upstreams, and what routes say of gRPC alone, over HTTP/1.1: the same
bytes to Envoy and to us.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.bootstrap import ROUTER, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of
from tests.parity.wire_origin import WireOrigin

HTTP = "extensions.filters.http"
WEB = f"{HTTP}.grpc_web.v3.GrpcWeb"
BRIDGE = f"{HTTP}.grpc_http1_bridge.v3.Config"
REVERSE = f"{HTTP}.grpc_http1_reverse_bridge.v3.FilterConfig"
STATS = f"{HTTP}.grpc_stats.v3.FilterConfig"
MUTATION = f"{HTTP}.header_mutation.v3.HeaderMutation"
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
Fields = dict[str, Any]


def message(data: bytes, flags: int = 0) -> bytes:
    """A gRPC frame."""
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


def chunks(*pieces: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


def answer(kind: str, *pieces: bytes, status: int = 200, trailers: bytes = b"", extra: bytes = b"") -> bytes:
    """A chunked response."""
    fields = b"" if not kind else b"content-type: %b\r\n" % kind.encode()
    head = b"HTTP/1.1 %d Whatever\r\n%b%btransfer-encoding: chunked\r\n\r\n" % (status, fields, extra)
    return head + chunks(*pieces, trailers=trailers)


def sized(kind: str, body: bytes, *, status: int = 200, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status, kind.encode(), extra, len(body), body,
    )  # fmt: skip


GRPC, PROTOBUF = "application/grpc", "application/x-protobuf"
OK = b"grpc-status: 0\r\ngrpc-message: fine\r\nx-more: 1\r\n"
FAILED = b"grpc-status: 5\r\ngrpc-message: not%20here\r\n"
ANSWERS = {
    "/one": answer(GRPC, message(b"hello"), trailers=OK),
    "/proto": answer(f"{GRPC}+proto", message(b"hello"), trailers=OK),
    "/many": answer(GRPC, message(b"a" * 100) + message(b"")[:3], message(b"")[3:] + message(b"bc"), trailers=OK),
    "/failed": answer(GRPC, trailers=FAILED),
    "/half": answer(GRPC, message(b"hello"), trailers=FAILED),
    "/odd-status": answer(GRPC, message(b"x"), trailers=b"grpc-status: what\r\n"),
    "/no-status": answer(GRPC, message(b"x")),
    "/alone": sized(GRPC, b"", extra=b"grpc-status: 7\r\ngrpc-message: no\r\n"),
    "/alone-ok": sized(GRPC, b"", extra=b"grpc-status: 0\r\n"),
    "/head-and-body": sized(GRPC, message(b"x"), extra=b"grpc-status: 3\r\n"),
    "/html": sized("text/html", b"<b>100% \xe4</b>\n", status=404),
    "/html-ok": sized("text/html", b"<b>hi</b>"),
    "/html-pieces": answer("text/html", b"<b>", b"no</b>", status=503),
    "/html-empty": sized("text/html", b"", status=429),
    "/web": answer("application/grpc-web+proto", message(b"x"), message(b"grpc-status:0\r\n", 0x80)),
    "/pb": sized(PROTOBUF, b"hello"),
    "/pb-pieces": answer(PROTOBUF, b"hel", b"lo"),
    "/pb-trailers": answer(PROTOBUF, b"hello", trailers=b"x-more: 1\r\n"),
    "/pb-empty": sized(PROTOBUF, b""),
    "/pb-404": sized(PROTOBUF, b"nothing", status=404),
    "/pb-size": sized(PROTOBUF, b"hello", extra=b"x-size: 5\r\n"),
    "/pb-size-list": sized(PROTOBUF, b"hello", extra=b"x-size: 5,7\r\n"),
    "/pb-size-odd": sized(PROTOBUF, b"hello", extra=b"x-size: five\r\n"),
    "/pb-size-empty": sized(PROTOBUF, b"", extra=b"x-size: 0\r\n"),
    "/pb-none": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    "/unavailable": sized(GRPC, b"", extra=b"grpc-status: 14\r\n"),
    "/exhausted": sized(GRPC, b"", extra=b"grpc-status: 8\r\n"),
    "/one?q": answer(GRPC, message(b"hello"), trailers=OK),
    "/probe?body=0": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
}


CONDITIONS = "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"
BACK_OFF = {"base_interval": "0.001s"}
ROUTES = [
    route("/svc.S/capped/", "origin", max_grpc_timeout="3s", grpc_timeout_offset="1s"),
    route("/svc.S/uncapped/", "origin", max_grpc_timeout="0s", timeout="0.2s"),
    route("/svc.S/any/", "origin", retry_policy={"retry_on": CONDITIONS, "retry_back_off": BACK_OFF}),
    route("/svc.S/some/", "origin", retry_policy={"retry_on": "unavailable", "retry_back_off": BACK_OFF}),
    route("/svc.S/tried/", "origin", max_grpc_timeout="3s", retry_policy={"retry_on": "5xx", "per_try_timeout": "2s"}),
    route("/", "origin"),
]
SAID = {"inline_string": "a ~ b"}
STATUSES = (200, 301, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504)
ROUTES[:0] = [
    *({"match": {"path": f"/svc.S/{one}"}, "direct_response": {"status": one, "body": SAID}} for one in STATUSES),
    {"match": {"path": "/svc.S/nowhere"}, "route": {"cluster_header": "x-nowhere"}},
    {"match": {"path": "/svc.S/elsewhere"}, "redirect": {"host_redirect": "other"}},
    route({"path": "/svc.S/refused"}, "refused"),
    route({"path": "/svc.S/full"}, "full"),
]
ROUTING = {
    "name": "router",
    "typed_config": {"@type": ROUTER, "suppress_grpc_request_failure_code_stats": True},
}


def filters(*own: Fields) -> list[Fields]:
    """A chain whose first filter edits responses of whatever reaches it."""
    seen = {"append": {"header": {"key": "x-seen", "value": "1"}}}
    mutation = {"@type": f"type.googleapis.com/envoy.{MUTATION}", "mutations": {"response_mutations": [seen]}}
    return [{"name": "outer", "typed_config": mutation}, *own, {"name": "router", "typed_config": {"@type": ROUTER}}]


def own(kind: str, **fields: Any) -> Fields:
    return {"name": "own", "typed_config": {"@type": f"type.googleapis.com/envoy.{kind}", **fields}}


OTHERWISE = {
    '"grpc_bridge_content_type_wrong", "RESPONSE_FLAGS": "UH"': "a local reply behind the reverse bridge, Envoy's",
    '"RESPONSE_CODE": 200, "RESPONSE_CODE_DETAILS": "no_healthy_upstream"': "the same, ours",
    r"cluster\..*\.hidden\..*": "docs/parity.md: what does not count in upstream_rq_<code>",
    r"cluster\.full\.circuit_breakers\..*": "a limit of 0 has been reached from the beginning",
    r'"broken"|(cluster|http)\.broken\..*': "whether the upstream is asked before the request breaks off",
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    off = {"own": {"@type": f"type.googleapis.com/envoy.{REVERSE}PerRoute", "disabled": True}}
    dead = route({"safe_regex": {"regex": "/svc.[SN]/dead"}}, "dead")
    unbridged = route("/svc.S/off", "origin") | {"typed_per_filter_config": off}
    everything = virtual_host("v", ["*"], dead, unbridged, route("/", "origin"))
    plain = virtual_host("v", ["*"], dead, route("/", "origin"))
    broken = virtual_host("v", ["*"], route("/", "broken"))
    named = {"services": [{"name": "svc.N", "method_names": ["one", "failed"]}]}
    with WireOrigin(ANSWERS) as origin, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # and never listens
        listeners = [
            http_listener(plain, name="web", http_filters=filters(own(WEB))),
            http_listener(broken, name="broken", http_filters=filters(own(WEB))),
            http_listener(plain, name="bridge", http_filters=filters(own(BRIDGE, ignore_query_parameters=True))),
            http_listener(plain, name="upgrade", http_filters=filters(own(BRIDGE, upgrade_protobuf_to_grpc=True))),
            http_listener(everything, name="reverse", http_filters=filters(own(REVERSE, content_type=PROTOBUF))),
            http_listener(
                plain,
                name="withheld",
                http_filters=filters(own(REVERSE, content_type=PROTOBUF, withhold_grpc_frames=True)),
            ),
            http_listener(
                plain,
                name="told",
                http_filters=filters(
                    own(REVERSE, content_type=PROTOBUF, withhold_grpc_frames=True, response_size_header="X-Size")
                ),
            ),
            http_listener(
                virtual_host("v", ["*"], dead, *ROUTES),
                name="routes",
                http_filters=[ROUTING],
            ),
            http_listener(plain, name="stats", http_filters=filters(own(STATS, stats_for_all_methods=True))),
            http_listener(
                plain, name="named", http_filters=filters(own(STATS, individual_method_stats_allowlist=named))
            ),
            http_listener(plain, name="unnamed", http_filters=filters(own(STATS, enable_upstream_stats=True))),
        ]
        options = {
            "@type": OPTIONS,
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
        }
        extensions = {OPTIONS.rpartition("/")[2]: options}
        clusters = [
            static_cluster("origin", origin.port, typed_extension_protocol_options=extensions),
            static_cluster("broken", origin.port),
            static_cluster("refused", refusing.getsockname()[1]),
            static_cluster("full", origin.port, circuit_breakers={"thresholds": [{"max_pending_requests": 0}]}),
            static_cluster("dead"),
        ]
        for listener in listeners:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            manager["http_protocol_options"] = {"enable_trailers": True}
        with run_pair(bootstrap(listeners, clusters), otherwise=OTHERWISE) as running:
            running.origin = origin  # type: ignore[attr-defined]
            yield running


def call(
    method: str, body: bytes, kind: str = GRPC, *lines: str, chunked: bool = False, service: str = "svc.S"
) -> bytes:
    """A request."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    fields = [f"POST /{service}{method} HTTP/1.1", "Host: h", f"Content-Type: {kind}", framing, *lines, "", ""]
    return "\r\n".join(fields).encode() + (chunks(body) if chunked else body)


def compare(pair: Pair, listener: str, data: bytes) -> None:
    """The same for the client, and for the origin."""
    origin = pair.origin
    pair.send(data, listener=listener).assert_same()
    arrived = [normalised(origin.next()) for _ in range(origin.arrived.qsize())]
    arrived = [request for request in arrived if b"/probe" not in request[0]]
    assert arrived[: len(arrived) // 2] == arrived[len(arrived) // 2 :]


def normalised(request: bytes) -> list[bytes]:
    """Its lines, without the values that no two runs share."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b"x-request-id", b"x-envoy-expected"))]
    if b"chunked" in head:
        return [*lines, decoded(body)]
    return [*lines, body]


def decoded(body: bytes) -> bytes:
    """A chunked body as one."""
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if not int(size, 16):
            return whole + b"|" + rest
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


WEB_KINDS = ["application/grpc-web", "application/grpc-web+proto"]
TEXT_KINDS = ["application/grpc-web-text", "application/grpc-web-text+proto"]
GRPC_ANSWERS = [name for name in ANSWERS if not name.startswith(("/pb", "/probe"))]
UNENDED = ("/no-status", "/head-and-body", "/web")
"""Responses without trailers, which Envoy never ends in base64."""

FOREIGN = ("/head-and-body", "/html", "/html-ok", "/html-pieces", "/web")
"""Responses that are no message in a frame, or are told with a length: Envoy takes five bytes off all the same."""


@pytest.mark.parity("rule 80")
@pytest.mark.parametrize("target", [*GRPC_ANSWERS, "/dead"])
def test_web(pair: Pair, target: str) -> None:
    compare(pair, "web", call(target, message(b"hi"), WEB_KINDS[1]))


@pytest.mark.parity("rule 80")
@pytest.mark.parametrize("target", [name for name in [*GRPC_ANSWERS, "/dead"] if name not in UNENDED])
def test_web_text(pair: Pair, target: str) -> None:
    kind = TEXT_KINDS[1]
    compare(pair, "web", call(target, base64.b64encode(message(b"hi")), kind, f"Accept: {kind}"))


@pytest.mark.parity("rule 80")
@pytest.mark.parametrize("kind", [*WEB_KINDS, *TEXT_KINDS, f"{WEB_KINDS[0]}+json", GRPC, "text/plain"])
@pytest.mark.parametrize("accept", ["*/*", TEXT_KINDS[0]])
def test_kinds_of_web(pair: Pair, kind: str, accept: str) -> None:
    body = base64.b64encode(message(b"hi")) if kind in TEXT_KINDS else message(b"hi")
    compare(pair, "web", call("/one?q", body, kind, f"Accept: {accept}", "TE: gzip", "Grpc-Accept-Encoding: gzip"))


@pytest.mark.parity("rule 80")
@pytest.mark.parametrize("body", [b"AAAAAAJoaQ=", b"!!!!", b"AAAAAAJo!!!!"])
@pytest.mark.parametrize("chunked", [False, True])
def test_base64_that_is_none(pair: Pair, body: bytes, chunked: bool) -> None:
    answers = pair.send(call("/one", body, TEXT_KINDS[0], chunked=chunked), listener="broken")
    theirs, ours = (answer.only for answer in answers)
    names = ("content-type", "content-length", "grpc-status", "grpc-message", "x-seen")
    assert (ours.status, ours.body, [ours.value(name) for name in names]) == (
        theirs.status,
        theirs.body,
        [theirs.value(name) for name in names],
    )


@pytest.mark.parity(*of(BRIDGE, "ignore_query_parameters"))
@pytest.mark.parametrize("target", [*GRPC_ANSWERS, "/dead"])
def test_bridge(pair: Pair, target: str) -> None:
    compare(pair, "bridge", call(target, message(b"hi")))


@pytest.mark.parity(*of(BRIDGE, "upgrade_protobuf_to_grpc"))
@pytest.mark.parametrize("target", [name for name in GRPC_ANSWERS if name not in FOREIGN])
@pytest.mark.parametrize("chunked", [False, True])
def test_upgraded(pair: Pair, target: str, chunked: bool) -> None:
    compare(pair, "upgrade", call(target, b"hi", PROTOBUF, chunked=chunked))


@pytest.mark.parity(*of(BRIDGE, "upgrade_protobuf_to_grpc"))
def test_not_upgraded(pair: Pair) -> None:
    compare(pair, "upgrade", call("/one", message(b"hi")))
    compare(pair, "bridge", call("/one", b"hi", PROTOBUF))
    compare(pair, "upgrade", call("/one", b"", PROTOBUF))


@pytest.mark.parity(
    *of(REVERSE, "content_type", "withhold_grpc_frames", "response_size_header"), *of(f"{REVERSE}PerRoute", "disabled")
)
@pytest.mark.parametrize("listener", ["reverse", "withheld", "told"])
@pytest.mark.parametrize("target", [*(name for name in ANSWERS if name.startswith("/pb")), "/one", "/html", "/off/one"])
def test_reverse(pair: Pair, listener: str, target: str) -> None:
    compare(pair, listener, call(target, message(b"hi"), f"{GRPC}+proto"))


@pytest.mark.parity(*of(REVERSE, "content_type", "withhold_grpc_frames"))
def test_not_reversed(pair: Pair) -> None:
    compare(pair, "withheld", call("/one", b"hi", PROTOBUF))
    compare(pair, "withheld", call("/one", b""))
    compare(pair, "withheld", call("/pb", message(b"hi"), chunked=True))


@pytest.mark.parity(*of(STATS, "stats_for_all_methods", "individual_method_stats_allowlist"))
@pytest.mark.parametrize("target", [*GRPC_ANSWERS, "/dead"])
def test_stats(pair: Pair, target: str) -> None:
    compare(pair, "stats", call(target, message(b"hi") + message(b"")))
    compare(pair, "named", call(target, message(b"hi"), service="svc.N"))


@pytest.mark.parity(*of(STATS, "stats_for_all_methods", "individual_method_stats_allowlist"))
def test_stats_of_other_requests(pair: Pair) -> None:
    compare(pair, "stats", call("/one", message(b"hi"), "text/plain"))
    compare(pair, "stats", call("/more/one", message(b"hi")))
    compare(pair, "unnamed", call("/one", message(b"hi")))


ACTION = "config.route.v3.RouteAction"
CALLS = [
    ("/capped/one", "grpc-timeout: 2500m"),
    ("/capped/one", "grpc-timeout: 1S"),
    ("/capped/one", "x-none: 1"),
    ("/uncapped/one", "grpc-timeout: 70S"),
    ("/tried/one", "grpc-timeout: 3S"),
    ("/any/exhausted", "x-none: 1"),
    ("/some/exhausted", "x-none: 1"),
    ("/some/unavailable", "x-none: 1"),
    ("/html-pieces", "x-none: 1"),
    ("/dead", "x-none: 1"),
]


@pytest.mark.parity(
    "rule 46",
    *of(ACTION, "max_grpc_timeout", "grpc_timeout_offset"),
    *of("config.route.v3.RetryPolicy", "retry_on"),
    *of("extensions.filters.http.router.v3.Router", "suppress_grpc_request_failure_code_stats"),
)
@pytest.mark.parametrize("kind", [GRPC, "text/plain"])
@pytest.mark.parametrize(("target", "line"), CALLS)
def test_routes(pair: Pair, target: str, line: str, kind: str) -> None:
    """Timeouts of clients, retries by a status in the head, and statuses that do not count."""
    compare(pair, "routes", call(target, message(b"hi"), kind, line))


@pytest.mark.parity("rule 29")
@pytest.mark.parametrize("target", [*map(str, STATUSES), "nowhere", "elsewhere", "refused", "full"])
def test_local_replies(pair: Pair, target: str) -> None:
    compare(pair, "routes", call(f"/{target}", b""))


@pytest.mark.parity(*of(REVERSE, "content_type"))
def test_a_local_reply_behind_the_reverse_bridge(pair: Pair) -> None:
    """It says why the upstream was not asked; Envoy's is taken for an upstream's answer of the wrong type."""
    theirs, ours = pair.send(call("/dead", message(b"hi")), listener="reverse")
    assert (ours.only.value("grpc-status"), ours.only.value("grpc-message")) == ("14", "no healthy upstream")
    assert theirs.only.value("grpc-status") == "2"
