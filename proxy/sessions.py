"""Who is connected, since when, and what for: what an operator asks of a drain that does not end.

The answers cross releases (a draining generation is an older one), so members are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from proxy.flight_recorder import text
from proxy.http.stream_info import StreamInfo
from proxy.net.connection import Connection

MAX_SESSIONS = 50
"""Most that one answer has: a message of 64 KiB carries them, whatever is in them."""

MAX_TEXT = 64
"""Characters of each member that comes from the network or a configuration."""


class Question(NamedTuple):
    """Only connections that are `older` (seconds), only those of `listener` (all if empty), at most `limit`."""

    older: float = 0.0
    listener: str = ""
    limit: int = MAX_SESSIONS


class Session(TypedDict):
    """One downstream connection. Times in seconds. `request`, `route`, `cluster`, `upstream` are empty where there is
    none (yet). `waits_for` says in words what would let it go on, `since` how long the exchange has been under way (or,
    of an idle one, the connection open).
    """

    id: int
    peer: str
    listener: str
    age: float
    kind: str  # idle, request, tcp
    since: float
    request: str
    route: str
    cluster: str
    upstream: str
    waits_for: str


def describe(connection: Connection, listener: str, info: StreamInfo | None, now: float) -> Session:
    """`info`: the exchange that the connection is in the middle of. `now`: `trio.current_time()`."""
    age = round(now - connection.opened_at, 3)
    session = Session(
        id=connection.id,
        peer=str(connection.remote),
        listener=_cut(listener),
        age=age,
        kind="idle" if connection.idle else "request",
        since=age,
        request="",
        route="",
        cluster="",
        upstream="",
        waits_for="the client's next request" if connection.idle else "its answer",
    )
    if info is not None:
        request = info.request
        session["kind"] = "tcp" if not info.is_http else "upgrade" if info.upgrade else "request"
        session["since"] = round(now - info.started, 3)
        if request is not None:
            session["request"] = _cut(f"{text(request.method)} {text(request.path)}")
        session["route"] = _cut(info.route_name)
        session["cluster"] = _cut(info.upstream_cluster)
        session["upstream"] = _cut(str(info.upstream_remote or info.upstream_host or ""))
        session["waits_for"] = _stream_waits_for(info)
    return session


def words(session: Mapping[str, Any]) -> str:
    """A session in one line, for logs and people. It may come from another release."""
    kind, since = session.get("kind"), f"{session.get('since', 0.0):.0f} s"
    what = {
        "idle": f"idle for {since}",
        "tcp": f"a TCP connection of {since}",
        "upgrade": f"an upgrade of {since}",
    }.get(str(kind), f"a request of {since}")
    if session.get("request"):
        what += f" ({session['request']})"
    if session.get("route"):
        what += f" on route {session['route']}"
    if session.get("cluster"):
        what += f" to cluster {session['cluster']}"
    if session.get("upstream"):
        what += f" at {session['upstream']}"
    where = f"{session.get('peer')} on listener {session.get('listener')}"
    return f"{where}, open for {session.get('age', 0.0):.0f} s: {what}, waits for {session.get('waits_for')}"


def _cut(value: str) -> str:
    """At most `MAX_TEXT` characters, all of them harmless on a terminal and in a log."""
    cut = value if len(value) <= MAX_TEXT else value[: MAX_TEXT - 1] + "…"
    return "".join(char if char.isprintable() else "?" for char in cut)


def _stream_waits_for(info: StreamInfo) -> str:
    if not info.is_http:
        return "either end of the TCP tunnel to close it" if info.upstream_remote else "a connection to the upstream"
    if info.request is None:
        return "the rest of the request's head"
    if info.response_complete:
        return "the client to close" if info.request_complete else "the rest of the request's body"
    if info.upgrade and info.response_begun:
        return "either end of the tunnel to close it"
    if info.response_begun or info.status:
        return "the rest of the response"
    if not info.request_complete:
        return "the rest of the request's body"
    if not info.upstream_cluster:
        return "its filters"
    return "the upstream's response" if info.upstream_remote else "a connection to the upstream"
