"""Sessions that clients keep: the same hosts, cookies and headers, and what they count in, on both."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from proxy.http.session_states.cookie import Said, parse, render
from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, route, virtual_host
from tests.kit.client import Connection, Response
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.balancing import DEGRADED, DOWN, cluster, group, host, placed
from tests.parity.rules import of

TYPES = "type.googleapis.com/envoy.extensions"
FILTER = "extensions.filters.http.stateful_session.v3.StatefulSession"
COOKIE = "extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"
NAMES = ("a", "b", "c", "d")


def session(state: Fields | None, **fields: Any) -> Fields:
    kept = {} if state is None else {"session_state": {"name": f"envoy.http.stateful_session.{state['kind']}", **state}}
    kept.get("session_state", {}).pop("kind", None)
    return {"@type": f"{TYPES}.filters.http.stateful_session.v3.StatefulSession", **kept, **fields}


def cookie(**fields: Any) -> Fields:
    config = {
        "@type": f"{TYPES}.http.stateful_session.cookie.v3.CookieBasedSessionState",
        "cookie": {"name": "k", **fields},
    }
    return {"kind": "cookie", "typed_config": config}


def header() -> Fields:
    config = {
        "@type": f"{TYPES}.http.stateful_session.header.v3.HeaderBasedSessionState",
        "name": "X-Session",
    }
    return {"kind": "header", "typed_config": config}


ENOUGH = {"overprovisioning_factor": 200}
"""Two of four hosts take all requests that want none of the others."""

SESSIONS: dict[str, Fields] = {
    "cookie": session(
        cookie(ttl="100s", path="/p", attributes=[{"name": "SameSite", "value": "Lax"}]), stat_prefix="s"
    ),
    "folder": session(cookie(path="/f/"), stat_prefix="s"),
    "strict": session(cookie(), strict=True, stat_prefix="s"),
    "header": session(header(), stat_prefix="s"),
    "nothing": session(None, stat_prefix="s"),
}


def per_route(**fields: Any) -> Fields:
    kind = f"{TYPES}.filters.http.stateful_session.v3.StatefulSessionPerRoute"
    return {"typed_per_filter_config": {"session": {"@type": kind, **fields}}}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin(*NAMES) as origin:
        yield origin


@pytest.fixture(scope="module")
def pair(origin: Origin) -> Iterator[Pair]:
    hosts = group(host("a"), host("b"), host("c", **DOWN), host("d", **DEGRADED))
    drained = {"common_lb_config": {"override_host_status": {"statuses": ["HEALTHY", "UNKNOWN", "UNHEALTHY"]}}}
    clusters = [
        {"name": "usual", **placed(cluster(hosts, policy=ENOUGH), origin)},
        {"name": "down_too", **placed(cluster(hosts, policy=ENOUGH, **drained), origin)},
    ]
    routes = [
        {**route("/p/off", "usual"), **per_route(disabled=True)},
        {
            **route("/p/own", "usual"),
            **per_route(stateful_session={"session_state": session(header())["session_state"]}),
        },
        route("/p/down", "down_too"),
        route("/", "usual"),
    ]
    listeners = [
        http_listener(
            virtual_host("v", ["*"], *routes),
            name=name,
            http_filters=[
                {"name": "session", "typed_config": config},
                {"name": "router", "typed_config": {"@type": ROUTER}},
            ],
        )
        for name, config in SESSIONS.items()
    ]
    with run_pair(bootstrap(listeners, clusters), apart="which host gets a request without a session is drawn") as pair:
        yield pair


class Seen(NamedTuple):
    """Who has answered, by the origin's name, and what the client is told."""

    status: int
    origin: str
    told: list[str]


def ask(connection: Connection, path: str, lines: list[str], origin: Origin) -> Seen:
    head = "".join(f"{line}\r\n" for line in lines)
    answer = connection.request(f"GET {path} HTTP/1.1\r\nhost: h\r\n{head}\r\n".encode())
    name = json.loads(answer.body)["origin"] if answer.status == 200 else ""
    return Seen(answer.status, name, [told(line, name, origin) for line in lines_of(answer)])


def lines_of(answer: Response) -> list[str]:
    return [f"{name}: {value}" for name, value in answer.headers if name in ("set-cookie", "x-session")]


def told(line: str, name: str, origin: Origin) -> str:
    """With "HOST" in place of the address of the origin `name`, and "LATER" in place of the time in 100 s."""
    value = line.split('"')[1] if '"' in line else line.partition(": ")[2]
    text = base64.b64decode(value)
    said = parse(text) if '"' in line else Said(text)
    assert said is not None
    assert said.address.decode() == f"127.0.0.1:{origin.ports[name]}"
    assert not said.expires or abs(said.expires - time.time() - 100) < 30
    return line.replace(value, "HOST" + (" LATER" if said.expires else ""))


def said(origin: Origin, name: str, *, expires: int = 0) -> bytes:
    address = f"127.0.0.1:{origin.ports.get(name, 9)}"
    return base64.b64encode(render(Said(address.encode(), expires)))


def of_old(origin: Origin, name: str) -> bytes:
    return base64.b64encode(f"127.0.0.1:{origin.ports[name]}".encode())


@pytest.mark.parity(
    *of(FILTER, "session_state", "strict", "stat_prefix"),
    *of(COOKIE, "cookie"),
    *of("type.http.v3.Cookie", "name", "ttl", "path", "attributes"),
    *of("extensions.http.stateful_session.header.v3.HeaderBasedSessionState", "name"),
    *of("extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", "disabled", "stateful_session"),
    *of("config.cluster.v3.Cluster.CommonLbConfig", "override_host_status"),
)
@pytest.mark.parametrize("listener", SESSIONS)
@pytest.mark.parametrize("path", ["/p", "/p?x", "/pq", "/f/x", "/f", "/p/off", "/p/own", "/p/down"])
def test_sessions(pair: Pair, origin: Origin, listener: str, path: str) -> None:
    of_header = listener == "header" or path == "/p/own"
    keeper = "x-session: " if of_header else "cookie: k="
    values = [(b"", ""), (b"!", ""), *((of_old(origin, name), name) for name in ("a", "b", "c", "d"))]
    if not of_header:
        values += [
            (said(origin, "a"), "a"),
            (said(origin, "b", expires=int(time.time()) + 1000), "b"),
            (said(origin, "a", expires=1000), "a"),
            (said(origin, "c"), "c"),
            (said(origin, "nobody"), ""),
        ]

    def seen(proxy: Any) -> tuple[list[Seen], dict[str, int]]:
        prefix = f"http.{listener}.stateful_session."
        before = proxy.stats()
        with Connection(proxy.address(listener)) as connection:
            found = [
                ask(connection, path, [f"{keeper}{value.decode()}"] if value else [], origin) for value, _ in values
            ]
        after = proxy.stats()
        return found, {name: after[name] - before.get(name, 0) for name in after if name.startswith(prefix)}

    (envoy, counted), (ours, our_counts) = seen(pair.envoy), seen(pair.ours)
    assert [(one.status, one.told) for one in ours] == [(one.status, one.told) for one in envoy]
    assert our_counts == counted
    kept = [
        (theirs.origin, our.origin)
        for theirs, our, (_, name) in zip(envoy, ours, values, strict=True)
        if name and theirs.origin == name and not theirs.told
    ]
    if counted.get(f"http.{listener}.stateful_session.s.routed"):
        assert kept
        assert all(theirs == our for theirs, our in kept)
