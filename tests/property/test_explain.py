"""What `explain` says about a request is what happens to it: drawn configurations and requests, explained and served.

Each request is sent twice over one connection, so that the express lane serves it too where it can. Compared are the
virtual host, the route, the cluster, the answer of the proxy, and the head that a host gets, byte by byte.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple
from unittest import mock

import msgspec
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from master.explain.request.answer import Answer, Head
from master.explain.request.explain import explain
from master.explain.request.question import Question, read
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Cluster, ClusterEndpoints, Endpoints, Host, LocalityHosts
from proxy.config.common import HeaderMatcher, PluginConfig, SocketAddress, StringMatcher
from proxy.config.forwarding import Forwarding, MaxStreamDuration, RetryPolicy
from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.config.identity import Identity, InternalAddresses
from proxy.config.route import (
    ClusterAction,
    ClusterWeight,
    DirectResponseAction,
    HostRewrite,
    PathRewrite,
    QueryParameterMatcher,
    RedirectAction,
    Route,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from proxy.config.target import TargetRules
from proxy.explain import trial as trials
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network import hcm_config
from proxy.route import weighted
from proxy.route.table import RouteTable
from tests.unit.proxy.rig import compiled, plugin, serving, until, virtual_clock

HEADER_MUTATION = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"

STRINGS = st.builds(
    StringMatcher,
    st.sampled_from(["exact", "prefix", "suffix", "contains", "regex"]),
    st.sampled_from(["1", "dev", "prod", "", "d"]),
)
HEADERS = st.builds(
    HeaderMatcher,
    st.sampled_from(["x-env", ":method", "x-envoy-internal", "x-none", ":authority", "x-added"]),
    string=st.none() | STRINGS,
    invert=st.booleans(),
    treat_missing_as_empty=st.booleans(),
) | st.builds(
    HeaderMatcher, st.sampled_from(["x-env", "x-none"]), present=st.booleans(), range=st.none(), invert=st.booleans()
)
QUERY = st.builds(QueryParameterMatcher, st.sampled_from(["q", "z"]), st.none() | STRINGS)
MATCHES = st.builds(
    RouteMatch,
    st.sampled_from(["prefix", "prefix", "path", "path_separated_prefix", "regex", "connect"]),
    st.sampled_from(["/", "/a", "/A", "/a/b", "/.*"]),
    st.booleans(),
    headers=st.just(()) | st.lists(HEADERS, max_size=2).map(tuple),
    query_parameters=st.just(()) | st.lists(QUERY, max_size=1).map(tuple),
    grpc=st.sampled_from([False, False, False, True]),
    runtime_fraction=st.sampled_from([None, None, None, (50, 100), (10, 10_000), (999_999, 1_000_000)]),
    tls_presented=st.sampled_from([None, None, None, True]),
)
MUTATIONS = st.lists(
    st.sampled_from(
        [
            Mutation(b"x-tier", "OVERWRITE_IF_EXISTS_OR_ADD", "gold"),
            Mutation(b"x-tier", "APPEND_IF_EXISTS_OR_ADD", "tin"),
            Mutation(b"x-env", "REMOVE"),
            Mutation(b"x-added", "ADD_IF_ABSENT", "%REQ(:PATH)%"),
            Mutation(b"x-cluster", "OVERWRITE_IF_EXISTS_OR_ADD", "b"),
        ]
    ),
    max_size=2,
).map(tuple)
REWRITES: dict[str, Any] = {
    "path_rewrite": st.sampled_from([None, PathRewrite("prefix", "/new"), PathRewrite("regex", "/-", "/+")]),
    "host_rewrite": st.sampled_from(
        [None, HostRewrite("literal", "new.test"), HostRewrite("header", "x-env"), HostRewrite("path_regex", "h", ".*")]
    ),
    "append_x_forwarded_host": st.booleans(),
    "timeout": st.sampled_from([15.0, 0.0, 3.0]),
    "forwarding": st.builds(
        Forwarding,
        retry=st.none() | st.builds(RetryPolicy, st.just(("5xx",)), per_try_timeout=st.sampled_from([0.0, 1.0])),
        max_stream_duration=st.sampled_from([None, None, MaxStreamDuration(9.0)]),
    ),
}
CLUSTER_ACTIONS = st.one_of(
    st.builds(ClusterAction, st.sampled_from(["a", "b", "nowhere"]), **REWRITES),
    st.builds(ClusterAction, st.just(""), cluster_header=st.just("x-cluster"), **REWRITES),
    st.builds(
        ClusterAction,
        st.just(""),
        weighted=st.builds(
            lambda first, second, mutations: (
                ClusterWeight("a", first, header_mutations=HeaderMutations(request=mutations)),
                ClusterWeight("b", second, host="share.test"),
            ),
            st.integers(0, 3),
            st.integers(1, 3),
            MUTATIONS,
        ),
        **REWRITES,
    ),
)
ACTIONS = st.one_of(
    CLUSTER_ACTIONS,
    CLUSTER_ACTIONS,
    st.builds(DirectResponseAction, st.sampled_from([200, 404, 503, 201]), st.sampled_from([b"", b"text"])),
    st.builds(
        RedirectAction,
        st.sampled_from([301, 307]),
        st.sampled_from(["", "https"]),
        st.sampled_from(["", "other.test"]),
        st.sampled_from([0, 81]),
        st.sampled_from(["", "/there", "/there?x"]),
        strip_query=st.booleans(),
    ),
)


def named(routes: list[Route], host: str) -> tuple[Route, ...]:
    """Each answers with its number."""
    return tuple(
        msgspec.structs.replace(
            route,
            name=f"{host}{number}",
            header_mutations=HeaderMutations(
                route.header_mutations.request, (Mutation(b"x-route", "OVERWRITE_IF_EXISTS_OR_ADD", f"{number}"),)
            ),
        )
        for number, route in enumerate(routes)
    )


def hosts(draw_routes: list[list[Route]], options: list[dict[str, Any]]) -> tuple[VirtualHost, ...]:
    """Each answers with its name."""
    domains = [("a.test", "*.a.test"), ("b.*",), ("*",)]
    return tuple(
        VirtualHost(
            f"v{number}",
            domains[number],
            named(routes, f"v{number}-"),
            **{
                **more,
                "header_mutations": HeaderMutations(
                    more["header_mutations"], (Mutation(b"x-vhost", "OVERWRITE_IF_EXISTS_OR_ADD", f"v{number}"),)
                ),
            },
        )
        for number, (routes, more) in enumerate(zip(draw_routes, options, strict=True))
    )


ROUTES = st.lists(
    st.builds(Route, MATCHES, ACTIONS, header_mutations=st.builds(HeaderMutations, MUTATIONS)), min_size=1, max_size=5
)
HOST_OPTIONS = st.fixed_dictionaries(
    {
        "header_mutations": MUTATIONS,
        "request_attempt_count": st.booleans(),
        "require_tls": st.sampled_from(["NONE", "NONE", "NONE", "EXTERNAL_ONLY", "ALL"]),
    }
)


@st.composite
def route_configurations(draw: st.DrawFn) -> RouteConfiguration:
    count = draw(st.integers(1, 3))
    return RouteConfiguration(
        "r",
        hosts([draw(ROUTES) for _ in range(count)], [draw(HOST_OPTIONS) for _ in range(count)]),
        most_specific_wins=draw(st.booleans()),
        ignore_port=draw(st.booleans()),
        ignore_path_parameters=draw(st.booleans()),
        virtual_host_header=draw(st.sampled_from(["", "", "", "x-env"])),
    )


MANAGERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "identity": st.builds(
            Identity,
            use_remote_address=st.booleans(),
            internal_addresses=st.sampled_from([InternalAddresses(), InternalAddresses(cidr_ranges=("127.0.0.0/8",))]),
            underscores=st.sampled_from(["ALLOW", "ALLOW", "REJECT_REQUEST", "DROP_HEADER"]),
            via=st.sampled_from(["", "us"]),
        ),
        "target": st.builds(
            TargetRules,
            normalize_path=st.booleans(),
            merge_slashes=st.booleans(),
            escaped_slashes=st.sampled_from(["KEEP", "REJECT", "REDIRECT", "FORWARD"]),
            strip_port=st.sampled_from(["", "matching", "any"]),
            strip_trailing_dot=st.booleans(),
        ),
    },
)
EDITS = st.just(()) | MUTATIONS

LINES = st.lists(
    st.sampled_from(
        [
            "x-env: dev",
            "x-env: prod",
            "X-Env: 1",
            "x-envoy-internal: true",
            "x-envoy-upstream-rq-timeout-ms: 700",
            "x-envoy-retry-on: 5xx",
            "x-forwarded-for: 10.0.0.1",
            "x-forwarded-proto: https",
            "x_under: score",
            "x-cluster: a",
            "content-type: application/grpc",
            "connection: x-env",
            "te: trailers",
            "cookie: a=b",
        ]
    ),
    max_size=4,
    unique=True,
)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    host = draw(st.sampled_from(["a.test", "x.a.test", "b.test", "b.test:81", "A.test.", "none"]))
    path = draw(st.sampled_from(["/", "/a", "/a/b", "/A?q=1", "/a;x=1/b?z=dev&q=", "/x/../a", "//a%2fb", "/none"]))
    drawn = draw(st.sampled_from([0, 1, 49, 505050, 2**64 - 1]))
    method = draw(st.sampled_from(["GET", "GET", "POST", "DELETE"]))
    extra = ["content-length: 0"] if method == "POST" else []
    return read(method, f"http://{host}{path}", [*draw(LINES), *extra], drawn=str(drawn), listener="l")


class Seen(NamedTuple):
    """What came of one request: the cluster whose host got it, with which head, and what the client got."""

    cluster: str
    head: bytes
    answer: bytes


class Origins:
    """A host for each cluster."""

    def __init__(self) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.addresses: dict[str, SocketAddress] = {}
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            for name in ("a", "b"):
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                self.addresses[name] = SocketAddress(*listener.socket.getsockname())
                nursery.start_soon(trio.serve_listeners, self._serve(name), [listener])
            yield
            nursery.cancel_scope.cancel()

    def _serve(self, name: str) -> Any:
        async def serve(stream: trio.SocketStream) -> None:
            data = b""
            while piece := await stream.receive_some(65536):
                data += piece
                if data.endswith(b"\r\n\r\n"):
                    self.received.append((name, data))
                    data = b""
                    await stream.send_all(self.answer)

        return serve


def configuration(
    routes: RouteConfiguration,
    manager: dict[str, Any],
    filters: list[PluginConfig],
    addresses: dict[str, SocketAddress],
) -> CompiledConfig:
    config = compiled(None, filters=filters, **manager)
    (listener,) = config.listeners
    (chain,) = listener.filter_chains
    hcm = msgspec.msgpack.decode(chain.filters[0].config, type=hcm_config.Config)
    hcm = msgspec.structs.replace(hcm, route_config=routes)
    chain = msgspec.structs.replace(chain, filters=(plugin("hcm", chain.filters[0].type_url, hcm),))
    endpoints = {
        name: ClusterEndpoints(name, 1, (LocalityHosts(0, (Host(slot, address),)),), slot)
        for slot, (name, address) in enumerate(addresses.items())
    }
    return msgspec.structs.replace(
        config,
        listeners=(msgspec.structs.replace(listener, filter_chains=(chain,)),),
        clusters=tuple(Cluster(name, "STATIC") for name in addresses),
        endpoints=Endpoints(1, endpoints),
    )


@contextlib.contextmanager
def without_chance(drawn: int) -> Iterator[None]:
    """What the server draws is `drawn`."""
    numbers = mock.Mock()
    numbers.getrandbits.return_value = drawn
    numbers.randrange.side_effect = lambda count: drawn % count
    with mock.patch("proxy.http.request.random", numbers), mock.patch.object(weighted, "random", numbers):
        yield


async def outcomes(config: CompiledConfig, origins: Origins, question: Question) -> tuple[list[Seen], tuple[str, int]]:
    """What happens to the request, and to the same again on the same connection, and where the proxy listened."""
    found = []
    with without_chance(question.drawn):
        async with serving(config) as rig:
            client = await rig.connect()
            for _ in range(2):
                origins.received.clear()
                await client.send(question.head)
                head, body = await client.response()
                cluster, upstream = origins.received[0] if origins.received else ("", b"")
                found.append(Seen(cluster, upstream, head + body))
                if b"\r\nconnection: close" in head:
                    break
            return found, rig.address


def assert_told(answer: Answer, seen: Seen) -> None:
    """`answer` says what was seen."""
    status = int(seen.answer.split()[1])
    headers = dict(line.split(b": ", 1) for line in seen.answer.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    assert (answer.outcome == "forwarded") == bool(seen.cluster)
    if answer.route is not None and answer.route.index >= 0:
        assert answer.virtual_host is not None
        assert headers[b"x-route"].decode() == str(answer.route.index)
        assert headers[b"x-vhost"].decode() == answer.virtual_host.name
    else:
        assert b"x-route" not in headers
    if answer.outcome == "forwarded":
        assert answer.cluster is not None
        assert answer.upstream is not None
        assert (answer.cluster.name, answer.cluster.known) == (seen.cluster, True)
        assert head_of(answer.upstream) == upstream_head(seen.head)
        assert status == 200
    else:
        reply = answer.reply
        assert reply is not None
        assert reply.status == status
        told = {name.encode("latin-1"): value.encode("latin-1") for name, value in reply.headers if name != "date"}
        headers.pop(b"date", None)
        assert told == headers
        assert reply.body.encode() == seen.answer.partition(b"\r\n\r\n")[2]


def head_of(head: Head) -> tuple[str, list[tuple[str, str]]]:
    lines = [("host", head.authority), *head.headers]
    return f"{head.method} {head.path}", comparable(lines)


def upstream_head(data: bytes) -> tuple[str, list[tuple[str, str]]]:
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return first.removesuffix(" HTTP/1.1"), comparable([(name, value) for name, value in pairs])


def comparable(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "ID" if name == "x-request-id" else value.strip()) for name, value in lines]


def assert_refusals(config: CompiledConfig, question: Question, local: SocketAddress) -> None:
    """What was refused does not match alone, and what was chosen does."""
    (listener,) = config.listeners
    hcm = msgspec.msgpack.decode(listener.filter_chains[0].filters[0].config, type=hcm_config.Config)
    clusters = {one.name: one for one in config.clusters}
    asked = trials.Question(question.head, SocketAddress("127.0.0.1", 0), local, question.drawn)
    routing = trials.run(listener, hcm, clusters, asked).routing
    if routing is None or routing.host < 0:
        return
    host = hcm.route_config.virtual_hosts[routing.host]

    def alone(number: int) -> bool:
        only = msgspec.structs.replace(host, routes=(host.routes[number],), require_tls="NONE")
        table = RouteTable(msgspec.structs.replace(hcm.route_config, virtual_hosts=(only,)))
        request = routing.request.copy()  # type: ignore[union-attr]
        request.random = question.drawn
        return table.find(request.authority, request.path, request) is not None

    for refusal in routing.refused:
        assert not alone(refusal.number), str(refusal.reason)
    if routing.number >= 0:
        assert alone(routing.number)
        assert [refusal.number for refusal in routing.refused] == list(range(routing.number))


TO_B, TO_A = (Route(RouteMatch("prefix", path), ClusterAction(name)) for path, name in (("/none", "b"), ("/", "a")))
PLAIN = RouteConfiguration("r", hosts([[TO_B, TO_A]], [{"header_mutations": ()}]))


@settings(deadline=None, max_examples=60)
@given(routes=route_configurations(), manager=MANAGERS, edits=EDITS, question=questions())
@example(routes=PLAIN, manager={}, edits=(), question=read("GET", "http://a.test/a", listener="l"))
def test_what_is_told_is_what_happens(
    routes: RouteConfiguration, manager: dict[str, Any], edits: tuple[Mutation, ...], question: Question
) -> None:
    filters = [plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits))] if edits else []

    async def main() -> None:
        origins = Origins()
        async with origins.running():
            config = configuration(routes, manager, filters, origins.addresses)
            seen, address = await outcomes(config, origins, question)
        local = SocketAddress(*address)
        answer = await trio.to_thread.run_sync(
            lambda: explain(question, config, config.endpoints, bound={"l": [local]})
        )
        for one in seen:
            assert_told(answer, one)
        await trio.to_thread.run_sync(assert_refusals, config, question, local)

    trio.run(main)


TIMES = st.fixed_dictionaries(
    {
        "timeout": st.sampled_from([0.0, 3.0, 15.0]),
        "forwarding": st.builds(
            Forwarding,
            idle_timeout=st.sampled_from([None, 2.0]),
            max_stream_duration=st.sampled_from(
                [
                    None,
                    MaxStreamDuration(),
                    MaxStreamDuration(4.0),
                    MaxStreamDuration(None, 0.0),
                    MaxStreamDuration(8.0, 5.0),
                ]
            ),
            retry=st.none()
            | st.builds(
                RetryPolicy,
                per_try_timeout=st.sampled_from([0.0, 1.0]),
                per_try_idle_timeout=st.sampled_from([0.0, 1.5]),
            ),
        ),
    }
)
ASKED = st.sampled_from(
    [
        (),
        ("x-envoy-upstream-rq-timeout-ms: 700",),
        ("x-envoy-upstream-rq-per-try-timeout-ms: 600",),
        ("x-envoy-upstream-stream-duration-ms: 500",),
        ("grpc-timeout: 400m", "content-type: application/grpc"),
    ]
)
ENDS = {
    "timeout": "response_timeout",
    "idle_timeout": "stream_idle_timeout",
    "max_stream_duration": "max_duration_timeout",
    "per_try_timeout": "upstream_per_try_timeout",
    "per_try_idle_timeout": "upstream_per_try_idle_timeout",
    "upstream max_stream_duration": "upstream_max_stream_duration_reached",
}
"""Which detail tells that a limit ended the request."""


@settings(deadline=None, max_examples=25)
@given(action=TIMES, duration=st.sampled_from([0.0, 6.0]), lines=ASKED)
def test_the_limits_that_are_told_end_a_request_that_nobody_answers(
    action: dict[str, Any], duration: float, lines: tuple[str, ...]
) -> None:
    manager = {"max_stream_duration": duration, "stream_idle_timeout": 5.0}
    inside = Identity(use_remote_address=True, internal_addresses=InternalAddresses(cidr_ranges=("127.0.0.0/8",)))
    routes = RouteConfiguration(
        "r", (VirtualHost("v", ("*",), (Route(RouteMatch("prefix", "/"), ClusterAction("a", **action)),)),)
    )
    question = read("GET", "http://a.test/", lines, listener="l")
    where: list[tuple[CompiledConfig, SocketAddress]] = []

    async def main() -> tuple[float, str]:
        origins = Origins()
        origins.answer = b""
        async with origins.running():
            config = configuration(routes, {"identity": inside, **manager}, [], origins.addresses)
            async with serving(config) as rig:
                where.append((config, SocketAddress(*rig.address)))
                started = trio.current_time()
                client = await rig.connect()
                await client.send(question.head)
                await client.until(b"\r\n\r\n")
                took = trio.current_time() - started
                with trio.move_on_after(1):
                    await until(lambda: bool(rig.records))
                return took, rig.records[0].detail if rig.records else ENDS["max_stream_duration"]  # 200, to gRPC

    took, detail = trio.run(main, clock=virtual_clock())
    ((config, local),) = where
    answer = explain(question, config, config.endpoints, bound={"l": [local]})
    limits = {
        one.name: float(one.value.split()[0]) for one in answer.timeouts if one.value != "none" and one.name in ENDS
    }
    earliest = min(limits.values())
    assert detail in {ENDS[name] for name, limit in limits.items() if limit == earliest}
    assert earliest - 0.06 <= took < earliest + 0.5  # an idle timeout may end a hundredth early
