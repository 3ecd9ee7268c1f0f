"""The express lane and the general path are one proxy: the same traffic through both, with and without the lane.

Requests and answers are drawn from what clients and hosts say, plain and less plain, mixed on one connection. Compared
are the bytes at the origin and at the client, every stat, every word of the shared tables, and the access log.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.access_log import AccessLog
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import HeaderMatcher, SocketAddress, StringMatcher
from proxy.config.forwarding import Forwarding, MaxStreamDuration, RetryPolicy
from proxy.config.hash_policy import CookieMaker, HashPolicy
from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.config.http1 import HeaderCase, Http1Options, UpstreamHttp1Options
from proxy.config.identity import Identity
from proxy.config.lb import Hashing, LoadBalancing
from proxy.config.route import ClusterAction, HostRewrite, PathRewrite, Route, VirtualCluster
from proxy.config.target import TargetRules
from proxy.config.tls import Certificate, DownstreamTls
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network import hcm_express
from tests.integration.tls.terminating import authority
from tests.unit.proxy.rig import Client, Rig, compiled, plugin, route, router, serving

FORMAT = (
    "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %REQ(X-REQUEST-ID)% %REQ(X-FORWARDED-FOR)% %REQ(USER-AGENT)% %RESP(SERVER)% "
    "%RESP(CONTENT-TYPE)% %UPSTREAM_CLUSTER% %ROUTE_NAME% %UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED% "
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %ACCESS_LOG_TYPE% "
    "%REQUEST_HEADERS_BYTES% %UPSTREAM_PROTOCOL% %UPSTREAM_HOST% %PATH(NQ)% %DOWNSTREAM_WIRE_BYTES_RECEIVED% "
    "sent(%DOWNSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_HEADER_BYTES_SENT% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%) "
    "%DOWNSTREAM_HEADER_BYTES_RECEIVED% "
    "%UPSTREAM_HEADER_BYTES_RECEIVED% %UPSTREAM_HEADER_BYTES_SENT% %UPSTREAM_HOST_NAME% %UPSTREAM_HOSTS_ATTEMPTED% "
    "%UPSTREAM_CONNECTION_ID% %FILTER_CHAIN_NAME% %UPSTREAM_DETECTED_CLOSE_TYPE% %DOWNSTREAM_TLS_VERSION% "
    "%DOWNSTREAM_TLS_CIPHER% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_SUBJECT%\n"
)

JSON_FORMAT = json.dumps({operator: f"%{operator}%" for operator in re.findall(r"%([^%]+)%", FORMAT)})


class Answer(NamedTuple):
    """What the origin sends for one request, in these pieces; `closes` afterwards."""

    pieces: tuple[bytes, ...]
    closes: bool = False

    def __repr__(self) -> str:  # Hypothesis writes it, and some are long
        return f"Answer({[(len(piece), piece[:200]) for piece in self.pieces]}, closes={self.closes})"


class Step(NamedTuple):
    request: bytes
    answer: Answer


def sized(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, b"".join(lines), len(body), body)


LINES = st.lists(
    st.sampled_from(
        [
            b"User-Agent: curl/8.5.0\r\n",
            b"Accept: */*\r\n",
            b"accept-encoding: gzip, deflate, br\r\n",
            b"Cookie: a=b; c=d\r\n",
            b"x-request-id: 7a1d3f9e-0000-4000-8000-000000000001\r\n",
            b"x-request-id: 7a1d3f9e-0000-4000-8000-000000000002\r\n",
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\r\n",
            b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01\r\n",
            b"TraceParent:100%25-%b\r\n",
            b"tracestate: a b\r\n",
            b"b3: 1\r\n",
            b"x-forwarded-for: 10.1.2.3\r\n",
            b"X-Forwarded-Proto: https\r\n",
            b"x-envoy-upstream-rq-timeout-ms: 9000\r\n",
            b"x-envoy-internal: true\r\n",
            b"te: trailers\r\n",
            b"Connection: keep-alive\r\n",
            b"Upgrade-Insecure-Requests: 1\r\n",
            b"empty:\r\n",
            b"odd:\t tab\t\r\n",
            b"x_under: score\r\n",
            b"x-host: theirs.test\r\n",
            b"x-cluster: origin\r\n",
            b"Upgrade-Insecure-Requests: 1\r\n",
        ]
    ),
    max_size=5,
    unique=True,
)
PATHS = st.sampled_from(
    [b"/", b"/a", b"/a?b=c", b"/deep/er/~x;y=1", b"/none/x", b"/%20", b"/%22quote", b"/a/../b", b"//a%2fb"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = b"".join(draw(LINES))
    path = draw(PATHS)
    match draw(st.sampled_from(["GET"] * 6 + ["POST", "chunked", "HEAD", "DELETE", "OPTIONS"])):
        case "POST":
            body = draw(st.binary(min_size=1, max_size=40))
            return b"POST %b HTTP/1.1\r\nhost: o\r\n%bcontent-length: %d\r\n\r\n%b" % (path, lines, len(body), body)
        case "chunked":
            head = b"PUT %b HTTP/1.1\r\nhost: o\r\n%btransfer-encoding: chunked\r\n\r\n" % (path, lines)
            return head + b"3\r\nabc\r\n0\r\n\r\n"
        case method:
            host = draw(st.sampled_from([b"o", b"o", b"o.", b"o:80"]))
            return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method.encode(), path, host, lines)


ANSWERS = st.sampled_from(
    [
        *[Answer((sized(b"hello", b"server: nginx\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"),))] * 4,
        Answer((sized(b"hello", b"content-type: text/plain\r\n"),)),
        Answer((sized(b""),)),
        Answer((sized(b"x" * 3000)[:1000], sized(b"x" * 3000)[1000:])),
        Answer((sized(b"y" * 30)[:20], sized(b"y" * 30)[20:])),
        Answer((sized(b"no", status=b"404 Not Found"),)),
        Answer((sized(b"bad", status=b"503 Service Unavailable"),)),
        Answer((b"HTTP/1.1 204 No Content\r\n\r\n",)),
        Answer((b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",)),
        Answer((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",)),
        Answer((b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", sized(b"late"))),
        Answer((sized(b"bye", b"connection: close\r\n"),), closes=True),
        Answer((b"HTTP/1.1 200 OK\r\n\r\nuntil the end",), closes=True),
        Answer((), closes=True),
        Answer((sized(b"cut short")[:-3],), closes=True),
        Answer((sized(b"x", b"x-envoy-upstream-canary: true\r\n"),)),
        Answer((sized(b"x", b"X-Envoy-Upstream-Service-Time: 77\r\n"),)),
    ]
)
SCRIPTS = st.lists(st.builds(Step, requests(), ANSWERS), min_size=1, max_size=6)

HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
CONSTANT = (
    Mutation(b"x-tier", "OVERWRITE_IF_EXISTS_OR_ADD", "gold"),
    Mutation(b"user-agent", "REMOVE"),
    Mutation(b"server", "APPEND_IF_EXISTS_OR_ADD", "more"),
)
EDITS = st.one_of(
    st.just(()),
    st.lists(
        st.sampled_from(
            [
                *CONSTANT,
                Mutation(b"x-request-id", "REMOVE"),
                Mutation(b"x-request-id", "OVERWRITE_IF_EXISTS_OR_ADD", "7a1d3f9e"),
                Mutation(b"x-path", "ADD_IF_ABSENT", "%REQ(:PATH)%"),
                Mutation(b"x-envoy-upstream-service-time", "OVERWRITE_IF_EXISTS", "soon"),
                Mutation(b"x-envoy-upstream-rq-timeout-ms", "ADD_IF_ABSENT", "5000"),
                Mutation(b"connection", "ADD_IF_ABSENT", "x-a"),
                Mutation(b"date", "REMOVE"),
            ]
        ),
        max_size=3,
    ).map(tuple),
)


LEVEL = st.one_of(
    st.just(HeaderMutations()),
    st.builds(
        HeaderMutations,
        request=st.lists(
            st.sampled_from(
                [
                    *CONSTANT,
                    Mutation(b"cookie", "REMOVE"),
                    Mutation(b"x-tier", "APPEND_IF_EXISTS_OR_ADD", "silver"),
                    Mutation(b"x-tier", "ADD_IF_ABSENT", "tin"),
                    Mutation(b"x-path", "ADD_IF_ABSENT", "%REQ(:PATH)%"),
                    Mutation(b"x-host", "OVERWRITE_IF_EXISTS", "changed"),
                ]
            ),
            max_size=2,
        ).map(tuple),
        response=st.lists(
            st.sampled_from(
                [
                    *CONSTANT,
                    Mutation(b"date", "REMOVE"),
                    Mutation(b"content-type", "ADD_IF_ABSENT", "x/y"),
                    Mutation(b"x-envoy-upstream-service-time", "REMOVE"),
                    Mutation(b"x-status", "ADD_IF_ABSENT", "%RESPONSE_CODE%"),
                ]
            ),
            max_size=2,
        ).map(tuple),
    ),
)
HASHES = [
    HashPolicy("header", "x-request-id"),
    HashPolicy("header", "user-agent", terminal=True),
    HashPolicy("header", ":path"),
    HashPolicy("cookie", "k"),
    HashPolicy("cookie", "made", cookie=CookieMaker(9)),
    HashPolicy("source_ip"),
    HashPolicy("query_parameter", "q"),
]
HASHED = LoadBalancing("MAGLEV", hashing=Hashing(table_size=5))
ACTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "path_rewrite": st.sampled_from([PathRewrite("prefix", "/new/"), PathRewrite("regex", "/-", "/+")]),
        "host_rewrite": st.sampled_from(
            [
                HostRewrite("literal", "new.test"),
                HostRewrite("header", "x-host"),
                HostRewrite("header", "traceparent"),
                HostRewrite("path_regex", "of.test", ".*"),
                HostRewrite("auto"),
            ]
        ),
        "append_x_forwarded_host": st.booleans(),
        "forwarding": st.builds(
            Forwarding,
            idle_timeout=st.sampled_from([None, 0.0, 9.0]),
            retry=st.none()
            | st.builds(
                RetryPolicy,
                st.sampled_from([("5xx",), ("reset",), ("retriable-status-codes", "retriable-headers")]),
                per_try_timeout=st.sampled_from([0.0, 5.0]),
                base_interval=st.just(0.001),
                max_interval=st.just(0.001),
                retriable_status_codes=st.just((404,)),
                retriable_headers=st.just((HeaderMatcher("server"),)),
                retriable_request_headers=st.sampled_from(
                    [(), (HeaderMatcher(":path", StringMatcher("prefix", "/a")),)]
                ),
            ),
            max_stream_duration=st.sampled_from([None, None, MaxStreamDuration(9.0)]),
        ),
        "cluster_header": st.just("x-cluster"),
        "hash_policies": st.lists(st.sampled_from(HASHES), min_size=1, max_size=2).map(tuple),
    },
)


class Routing(NamedTuple):
    """How one route differs from a plain one, and what stands around it."""

    action: dict[str, Any]
    mutations: HeaderMutations = HeaderMutations()
    host: Mapping[str, Any] = MappingProxyType({})
    target: TargetRules = TargetRules()

    def apply(self, plain: Route) -> Route:
        changed = {**self.action, **({"cluster": ""} if "cluster_header" in self.action else {})}
        assert isinstance(plain.action, ClusterAction)
        action = msgspec.structs.replace(plain.action, **changed)
        return msgspec.structs.replace(plain, action=action, header_mutations=self.mutations)


PLAIN_ROUTING = Routing({})
ROUTINGS = st.builds(
    Routing,
    ACTIONS,
    LEVEL,
    st.fixed_dictionaries(
        {},
        optional={
            "header_mutations": LEVEL,
            "request_attempt_count": st.booleans(),
            "response_attempt_count": st.booleans(),
            "require_tls": st.sampled_from(["NONE", "NONE", "EXTERNAL_ONLY", "ALL"]),
            "virtual_clusters": st.just((VirtualCluster("gets", (HeaderMatcher(":method", present=True),)),)),
        },
    ),
    st.builds(
        TargetRules,
        normalize_path=st.booleans(),
        merge_slashes=st.booleans(),
        escaped_slashes=st.sampled_from(["KEEP", "REJECT", "REDIRECT", "FORWARD"]),
        strip_port=st.sampled_from(["", "matching", "any"]),
        strip_trailing_dot=st.booleans(),
    ),
)


TO_RETRIES = Answer((sized(b"more"),))
"""For attempts that the script has no answer for any more."""


class Origin:
    """Answers by the script, over however many connections; keeps what it received."""

    def __init__(self, script: list[Step]) -> None:
        self._answers: Iterator[Answer] = iter([step.answer for step in script])
        self.received: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        with stream.socket:
            data = b""
            while True:
                while (end := request_end(data)) < 0:
                    piece = await stream.receive_some(65536)
                    if not piece:
                        return
                    data += piece
                self.received.append(data[:end])
                data = data[end:]
                answer = next(self._answers, TO_RETRIES)
                for piece in answer.pieces:
                    await stream.send_all(piece)
                    await trio.sleep(0.002)
                if answer.closes:
                    return


def request_end(data: bytes) -> int:
    """Where the request at the head of `data` ends; -1 if it is not all there."""
    head = data.find(b"\r\n\r\n") + 4
    if head < 4:
        return -1
    if b"\r\ntransfer-encoding: chunked" in data[:head].lower():
        end = data.find(b"0\r\n\r\n", head)
        return -1 if end < 0 else end + 5
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data[:head])
    end = head + (int(length[1]) if length else 0)
    return end if len(data) >= end else -1


class Outcome(NamedTuple):
    to_origin: list[bytes]
    to_client: list[bytes]
    words: dict[str, int]
    samples: dict[str, int]
    tables: tuple[dict[Any, int], dict[Any, int]]
    log: str


_VARIABLE = [
    (re.compile(rb"(?i)(x-request-id: )(?!7a1d3f9e)[0-9a-f-]{36}"), rb"\1ID"),
    (re.compile(rb"(?i)(x-envoy-upstream-service-time: )\d+"), rb"\g<1>0"),
    (re.compile(rb"(?i)(x-envoy-expected-rq-timeout-ms: )(?:14|8|4)\d{3}"), rb"\1LEFT"),  # of 15, 9 or 5 s, to a retry
    (re.compile(rb"(?i)(set-cookie: made=)\"[0-9a-f]{16}"), rb'\1"VALUE'),
    (re.compile(rb"(?i)(date: )(?!Mon, 23 Nov 2026 00:00:00)[^\r]*"), rb"\1NOW"),
]


def normalised(data: bytes) -> bytes:
    for pattern, constant in _VARIABLE:
        data = pattern.sub(constant, data)
    return data


def without_service_time(sent: re.Match[str]) -> str:
    """Bytes of a response and of its fields, but for the digits of a time."""
    return f"sent({int(sent[1]) - len(sent[3])} {int(sent[2]) - len(sent[3])})"


async def one_answer(client: Client, request: bytes) -> bytes:
    """What the client gets for `request`, up to the answer's end or the connection's."""
    await client.send(request)
    data = b""
    with trio.move_on_after(2):
        while not answer_complete(data, request):
            try:
                piece = await client.stream.receive_some(65536)
            except trio.BrokenResourceError:
                return data + b"[reset]"
            if not piece:
                return data + b"[end]"
            data += piece
    return data


def answer_complete(data: bytes, request: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if request.startswith(b"HEAD") or head.split()[1] in (b"204", b"304"):
        return True
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(length) and len(body) >= int(length[1])  # type: ignore[index]


def run(
    script: list[Step],
    path: Path,
    *,
    lane: bool,
    monkeypatch: pytest.MonkeyPatch,
    routing: Routing = PLAIN_ROUTING,
    ask: Callable[[Client, bytes], Awaitable[bytes]] = one_answer,
    tls: DownstreamTls | None = None,
    **hcm: Any,
) -> Outcome:
    """The script through a proxy of its own, one connection at a time; a new one where the proxy closes. `ask` sends
    a request and returns its answer. The client speaks TLS where there is a context for it.
    """
    path.unlink(missing_ok=True)
    origin = Origin(script)
    loggers = [
        plugin(
            "file", "envoy.extensions.access_loggers.file.v3.FileAccessLog", {"path": str(path), "format": log_format}
        )
        for log_format in ({"text": FORMAT}, {"json_format": JSON_FORMAT, "omit_empty_values": True})
    ]
    answers: list[bytes] = []

    async def main() -> Outcome:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            address = SocketAddress(*listening.getsockname())
            listening.setblocking(False)
            routes = [
                routing.apply(route("/a", timeout=9.0, name="a")),
                route("/none", "nowhere"),
                routing.apply(route("/", name="rest")),
            ]
            config = compiled(
                address,
                routes=routes,
                access_log=tuple(map(AccessLog, loggers)),
                virtual_host=dict(routing.host),
                target=routing.target,
                lb=HASHED if "hash_policies" in routing.action else LoadBalancing(),
                **hcm,
            )
            if tls is not None:
                config = over_tls(config, tls)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, origin.serve, [listener])
                async with serving(config) as rig:
                    client = await connected(rig, tls)
                    for step in script:
                        answer = await ask(client, step.request)
                        answers.append(normalised(answer))
                        if answer.endswith((b"[end]", b"[reset]")) or b"connection: close" in answer.lower():
                            await trio.aclose_forcefully(client.stream)
                            await rig.quiet()
                            client = await connected(rig, tls)
                    await trio.aclose_forcefully(client.stream)
                    await rig.quiet()
                    rig.server.reopen_logs()
                    await rig.stop()
                    words = {name: word.value for name, word in rig.stats.words.items() if word.value}
                    for name in ("flushed_by_timer", "write_completed"):  # half a second may be over, or not
                        words.pop(f"filesystem.{name}", None)
                    samples = {name: len(found.values) for name, found in rig.stats.samples.items() if found.values}
                    tables = (dict(rig.tables.hosts._words), dict(rig.tables.clusters._words))
                nursery.cancel_scope.cancel()
        return Outcome([normalised(data) for data in origin.received], answers, words, samples, tables, "")

    with monkeypatch.context() as patch:
        if not lane:
            patch.setattr(hcm_express, "suits", lambda config, filters: False)
        outcome = trio.run(main)
    log = path.read_text() if path.exists() else ""
    log = re.sub(r"sent\((\d+) (\d+) (\d+)\)", without_service_time, log)
    log = re.sub(r'"(?:DOWNSTREAM_(?:WIRE|HEADER)_BYTES_SENT|RESP.X-ENVOY-UPSTREAM-SERVICE-TIME.)":"?\d+"?', "", log)
    log = re.sub(r"127\.0\.0\.1:\d+", "HOST", log)  # a new origin each time
    return outcome._replace(log=re.sub(r"(?!7a1d3f9e)[0-9a-f]{8}-[0-9a-f-]{27}", "ID", log))


OWN = authority().issue("a.test")
TLS = DownstreamTls((Certificate(OWN.chain.encode(), OWN.key.encode()),))
TRUSTING = authority().client()


def over_tls(config: CompiledConfig, tls: DownstreamTls) -> CompiledConfig:
    (listener,) = config.listeners
    (chain,) = listener.filter_chains
    secured = msgspec.structs.replace(listener, filter_chains=(msgspec.structs.replace(chain, tls=tls),))
    return msgspec.structs.replace(config, listeners=(secured,))


async def connected(rig: Rig, tls: DownstreamTls | None) -> Client:
    """A client; of one that speaks TLS the handshake is complete."""
    client = await rig.connect()
    if tls is not None:
        secure = trio.SSLStream(client.stream, TRUSTING, server_hostname="a.test", https_compatible=True)
        await secure.do_handshake()
        client = Client(client.stream)
        client.stream = secure  # type: ignore[assignment]
    return client


PLAIN = Answer((sized(b"hello", b"server: nginx\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"),))
LONG = Answer((sized(b"z" * 200_000),))  # several reads
GET = b"GET / HTTP/1.1\r\nhost: o\r\n\r\n"
TRACED = [Step(b"GET / HTTP/1.1\r\nhost: o\r\ntraceparent: %d\r\n\r\n" % number, PLAIN) for number in range(4)]
POST = b"POST /a HTTP/1.1\r\nhost: o\r\ncontent-length: 3\r\n\r\nabc"


CONSTANT_ROUTING = Routing(
    {"host_rewrite": HostRewrite("literal", "new.test"), "append_x_forwarded_host": True},
    HeaderMutations(request=CONSTANT, response=CONSTANT),
    {"request_attempt_count": True, "response_attempt_count": True},
    TargetRules(normalize_path=True, merge_slashes=True, strip_port="any"),
)

REWRITTEN = [
    Routing({"path_rewrite": rewrite}) for rewrite in (PathRewrite("prefix", "/new/"), PathRewrite("regex", "/-", "/+"))
]
OF_MANY_PATHS = [
    Step(b"GET %b HTTP/1.1\r\nhost: o\r\n\r\n" % path, PLAIN) for path in (b"/", b"/a//b?c/d", b"/", b"/%20", b"/a?/")
]


def assert_same(with_lane: Outcome, without: Outcome, *, service_time: bool) -> None:
    """`service_time`: responses tell it."""
    if service_time:  # the digits of the service time vary
        for outcome in (with_lane, without):
            outcome.words.pop("http.in.downstream_cx_tx_bytes_total", None)
    for name, with_it, without_it in zip(Outcome._fields, with_lane, without, strict=True):
        if isinstance(with_it, dict):
            assert dict(with_it.items() - without_it.items()) == dict(without_it.items() - with_it.items()), name
        assert with_it == without_it, name


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, remote=st.booleans(), suppress=st.booleans(), edits=EDITS)
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=())
@example(script=[Step(GET, PLAIN)] * 4, remote=True, suppress=False, edits=CONSTANT)
@example(script=[Step(GET, LONG), Step(POST, LONG)], remote=True, suppress=False, edits=())
@example(script=[Step(GET, PLAIN), Step(POST, PLAIN)] * 2, remote=False, suppress=True, edits=())
def test_the_lane_changes_nothing(
    script: list[Step],
    remote: bool,
    suppress: bool,
    edits: tuple[Mutation, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))
    options = {
        "identity": Identity(use_remote_address=remote),
        "last": router(suppress_envoy_headers=suppress),
        "filters": [mutation] if edits else [],
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=not suppress)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, suppress=st.booleans(), edits=EDITS, routing=ROUTINGS)
@example(script=[Step(GET, PLAIN)] * 4, suppress=False, edits=(), routing=CONSTANT_ROUTING)
@example(
    script=TRACED, suppress=False, edits=(), routing=Routing({"host_rewrite": HostRewrite("header", "traceparent")})
)
@example(script=[Step(POST, PLAIN)] * 4, suppress=False, edits=CONSTANT, routing=CONSTANT_ROUTING)
@example(script=OF_MANY_PATHS, suppress=False, edits=(), routing=REWRITTEN[0])
@example(script=[*TRACED, *OF_MANY_PATHS], suppress=False, edits=CONSTANT, routing=REWRITTEN[1])
@example(script=OF_MANY_PATHS, suppress=True, edits=(), routing=REWRITTEN[0])
@example(script=TRACED, suppress=False, edits=(), routing=Routing({"hash_policies": (HASHES[0],)}))
@example(script=[Step(GET, PLAIN)] * 3, suppress=False, edits=(), routing=Routing({"hash_policies": (HASHES[4],)}))
def test_the_lane_changes_nothing_of_what_routes_do(
    script: list[Step],
    suppress: bool,
    edits: tuple[Mutation, ...],
    routing: Routing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "last": router(suppress_envoy_headers=suppress),
        "filters": [plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))],
        "routing": routing,
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=not suppress)


@pytest.mark.parametrize(
    "routing",
    [PLAIN_ROUTING, CONSTANT_ROUTING, *REWRITTEN, Routing({"hash_policies": (HASHES[1], HASHES[5])})],
    ids=["plain", "constant", "prefix", "regex", "hashed"],
)
@pytest.mark.parametrize("answer", [PLAIN, LONG], ids=["short", "long"])
def test_plain_requests_take_the_lane(
    answer: Answer, routing: Routing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_taken(answer, tmp_path, monkeypatch, routing=routing)


def test_plain_requests_over_tls_take_the_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_taken(PLAIN, tmp_path, monkeypatch, tls=TLS)


def assert_taken(answer: Answer, directory: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    taken = 0
    respond = hcm_express.Lane._respond

    def counted(self: hcm_express.Lane, *arguments: Any) -> bool:
        nonlocal taken
        taken += 1
        return respond(self, *arguments)

    monkeypatch.setattr(hcm_express.Lane, "_respond", counted)
    query = Step(GET.replace(b"/ ", b"/a?b "), answer)
    browser = Step(GET[:-2] + b"Upgrade-Insecure-Requests: 1\r\n\r\n", answer)
    script = [Step(GET, answer)] * 3 + [Step(POST, answer)] * 2 + [query, browser]
    run(script, directory / "log", lane=True, monkeypatch=monkeypatch, **options)
    assert taken == len(script) - 1  # the first one has to open a connection


CASES = st.sampled_from(
    [
        None,
        HeaderCase(proper=True),
        HeaderCase(preserves=True),
        HeaderCase(preserves=True, proper=True, forwards_reason=True),
    ]
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, listener=CASES, cluster=CASES, whole=st.booleans())
@example(script=[Step(GET, PLAIN)] * 4, listener=HeaderCase(preserves=True), cluster=HeaderCase(True), whole=False)
@example(script=TRACED, listener=HeaderCase(proper=True), cluster=HeaderCase(proper=True), whole=False)
def test_the_lane_changes_nothing_of_how_names_are_written(
    script: list[Step],
    listener: HeaderCase | None,
    cluster: HeaderCase | None,
    whole: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {
        "http1": Http1Options(header_case=listener),
        "upstream": UpstreamHttp1Options(header_case=cluster, send_fully_qualified_url=whole),
        "identity": Identity(use_remote_address=True, preserve_external_request_id=True),
    }
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, remote=st.booleans())
@example(script=[Step(GET, PLAIN)] * 4, remote=True)
@example(script=[Step(GET, LONG), Step(POST, LONG)], remote=False)
def test_the_lane_changes_nothing_over_tls(
    script: list[Step], remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"identity": Identity(use_remote_address=remote), "tls": TLS}
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)
    assert with_lane.words["listener.127.0.0.1_0.ssl.handshake"] > 0
