"""One request through a connection manager of its own: what is run, what is left out, and what it comes to know."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from proxy.config.access_log import AccessLog
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.explain.trial import LEFT_FOR_A_HOST, ByTls, Question, Trial, run
from proxy.filters.http.dynamic_modules import DynamicModule
from proxy.filters.network.hcm_config import Config, LogOptions
from proxy.http.deadlines import Phase
from tests.unit.proxy.rig import compiled, plugin, router

MODULE = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
USERS_OWN = plugin("own", MODULE, DynamicModule.Config("no_such_module", "Filter"))
LOG = plugin("log", "envoy.extensions.access_loggers.file.v3.FileAccessLog", {"path": "/nowhere/at/all"})
QUESTION = Question(
    b"GET /a HTTP/1.1\r\nhost: a.test\r\n\r\n", SocketAddress("10.0.0.1", 0), SocketAddress("127.0.0.1", 80)
)


def served(question: Question, *routes: Route, **manager: object) -> Trial:
    config = compiled(None, routes=routes)
    (listener,) = config.listeners
    hcm = msgspec.msgpack.decode(listener.filter_chains[0].filters[0].config, type=Config)
    clusters = {one.name: one for one in config.clusters}
    return run(listener, msgspec.structs.replace(hcm, **manager), clusters, question)


def test_it_ends_where_it_would_leave_for_a_host() -> None:
    trial = served(QUESTION)
    assert (trial.detail, trial.status, trial.body) == (LEFT_FOR_A_HOST, 0, b"")
    assert trial.upstream is not None
    assert (trial.upstream.path, trial.upstream.authority) == (b"/a", b"a.test")
    assert trial.forwarding is not None
    assert (trial.forwarding.cluster.config.name, trial.forwarding.terms.timeout) == ("origin", 15.0)
    assert trial.limits == {Phase.STREAM_IDLE: 300.0}


def test_what_has_effects_or_is_not_ours_is_left_out() -> None:
    trial = served(
        QUESTION,
        http_filters=(USERS_OWN, router()),
        access_log=(AccessLog(LOG),),
        log_options=LogOptions(new_requests=True),
    )
    assert (trial.detail, trial.skipped) == (LEFT_FOR_A_HOST, ("own",))


def test_tls_is_the_scheme_and_shows_no_certificate() -> None:
    shown, none = (
        Route(RouteMatch("prefix", "/", tls_presented=presented), ClusterAction("origin"), name)
        for presented, name in ((True, "shown"), (False, "none"))
    )
    trial = served(dataclasses.replace(QUESTION, tls=ByTls("a.test")), shown, none)
    assert trial.routing is not None
    assert trial.routing.entry is not None
    assert trial.routing.entry.route.name == "none"
    assert [str(refusal.reason) for refusal in trial.routing.refused] == [
        "the client's certificate is absent, wants one presented"
    ]
    assert trial.upstream is not None
    assert trial.upstream.headers.get(b"x-forwarded-proto") == b"https"
    assert trial.upstream.scheme == b"https"


def test_who_wants_tls_gets_it() -> None:
    host = VirtualHost("v", ("*",), (Route(RouteMatch("prefix", "/"), ClusterAction("origin")),), require_tls="ALL")
    routes = RouteConfiguration("r", (host,))
    plain = served(QUESTION, route_config=routes)
    assert (plain.status, plain.headers.get(b"location")) == (301, b"https://a.test/a")
    assert served(dataclasses.replace(QUESTION, tls=ByTls()), route_config=routes).detail == LEFT_FOR_A_HOST


@pytest.mark.parametrize(
    ("head", "status", "detail"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", 400, "missing_host_header"),
        (b"GET /a HTTP/3.0\r\nhost: a\r\n\r\n", 505, "http1.unsupported_version"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n", 400, ""),
    ],
)
def test_what_the_codec_refuses_is_answered_by_it(head: bytes, status: int, detail: str) -> None:
    trial = served(dataclasses.replace(QUESTION, head=head))
    assert (trial.received, trial.routing, trial.status) == (None, None, status)
    assert trial.detail.startswith(detail)


def test_a_body_that_never_comes_keeps_nobody_waiting() -> None:
    head = b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n"
    assert served(dataclasses.replace(QUESTION, head=head)).detail == LEFT_FOR_A_HOST


def test_a_route_to_a_cluster_that_is_not_there() -> None:
    listener = Listener("l", (), "x", (), per_connection_buffer_limit_bytes=7)
    config = compiled(None)
    hcm = msgspec.msgpack.decode(config.listeners[0].filter_chains[0].filters[0].config, type=Config)
    assert run(listener, hcm, {}, QUESTION).detail == "cluster_not_found"
