"""The answer of `explain`: data only, the same for the page, the command and `--json`."""

from __future__ import annotations

from typing import Literal

import msgspec

from master.explain.request.place import DEFAULT, Place

Outcome = Literal["forwarded", "answered", "refused", "no_route", "failed", "tcp"]
"""`refused`: before it was routed. `answered`: by the route itself. `failed`: the route leads nowhere. `tcp`: the
listener forwards connections and looks at no request."""


class Change(msgspec.Struct, frozen=True):
    """What happened to a part of the request: `path`, `host`, `header x`. None: it was, or is, not there."""

    part: str
    before: str | None
    after: str | None
    why: str = ""
    place: Place = DEFAULT


class Candidate(msgspec.Struct, frozen=True):
    """A route that was tried in vain; `place` is the condition that failed. `by_path`: that of the path."""

    index: int
    name: str
    why: str
    by_path: bool
    place: Place


class Setting(msgspec.Struct, frozen=True):
    """`by` is the header that asked for it, "" if the configuration or a default did."""

    name: str
    value: str
    place: Place = DEFAULT
    by: str = ""


class Edit(msgspec.Struct, frozen=True):
    """One edit of a head, in the order in which they are made. `level`: whose it is."""

    direction: Literal["request", "response"]
    level: str
    what: str
    place: Place


class Filter(msgspec.Struct, frozen=True):
    """An HTTP filter that the request passes. `note` says what of it is special here; `overrides` are its per-route
    configurations, the most specific last.
    """

    name: str
    kind: str
    place: Place
    note: str = ""
    overrides: tuple[Place, ...] = ()


class Share(msgspec.Struct, frozen=True):
    """One of the weighted clusters of a route; `drawn`: the one that is explained."""

    cluster: str
    weight: int
    percent: float
    drawn: bool
    place: Place


class Host(msgspec.Struct, frozen=True):
    """The numbers are None where nobody runs."""

    address: str
    hostname: str
    health: str
    weight: int
    locality: str
    priority: int
    cx_active: int | None = None
    rq_active: int | None = None


class Breaker(msgspec.Struct, frozen=True):
    """`used` is None where nobody runs."""

    name: str
    limit: int
    used: int | None
    place: Place


class Subset(msgspec.Struct, frozen=True):
    """The request is for hosts of `wanted`; it comes to those that have `labels`, by what `how` says ("none": to
    nobody). Both are `key=JSON`.
    """

    wanted: tuple[str, ...]
    how: str
    labels: tuple[str, ...]
    place: Place


class Cluster(msgspec.Struct, frozen=True):
    """`how` the route names it. `known`: there is one of this name. `hosts` are those of its `subset`, if there is
    one. `protocol` is what they are spoken to by.
    """

    name: str
    how: str
    known: bool
    place: Place
    type: str = ""
    hosts: tuple[Host, ...] = ()
    breakers: tuple[Breaker, ...] = ()
    shares: tuple[Share, ...] = ()
    note: str = ""
    subset: Subset | None = None
    protocol: str = "HTTP/1.1"


class Named(msgspec.Struct, frozen=True):
    """A listener, a filter chain, a virtual host or a route: `how` it came to be the one."""

    index: int
    name: str
    how: str
    place: Place


class Reply(msgspec.Struct, frozen=True):
    """What the proxy answers itself. `meaning`: of detail and flags. `body` is the beginning of `size` bytes."""

    status: int
    detail: str
    flags: str
    meaning: str
    headers: tuple[tuple[str, str], ...]
    body: str
    size: int


class Head(msgspec.Struct, frozen=True):
    method: str
    authority: str
    path: str
    headers: tuple[tuple[str, str], ...]


class Configuration(msgspec.Struct, frozen=True):
    """Which one was asked. `path` is the file that it came from, None if that is not the whole of it; `fingerprint`
    tells whoever has the file whether that is still it.
    """

    version: int = 0
    path: str | None = None
    fingerprint: str = ""


class Answer(msgspec.Struct, frozen=True):
    """`seen` is the request as routing saw it, `upstream` as it would be sent. Parts are None that were not reached."""

    method: str
    url: str
    outcome: Outcome
    listener: Named
    filter_chain: Named
    caller: str = ""
    seen: Head | None = None
    admission: tuple[Change, ...] = ()
    virtual_host: Named | None = None
    tried: tuple[Candidate, ...] = ()
    route: Named | None = None
    by_filters: tuple[Change, ...] = ()
    filters: tuple[Filter, ...] = ()
    cluster: Cluster | None = None
    mirrors: tuple[Setting, ...] = ()
    timeouts: tuple[Setting, ...] = ()
    retry: tuple[Setting, ...] = ()
    edits: tuple[Edit, ...] = ()
    upstream: Head | None = None
    by_route: tuple[Change, ...] = ()
    reply: Reply | None = None
    notes: tuple[str, ...] = ()
    configuration: Configuration = Configuration()

    @property
    def matched(self) -> bool:
        """Whether the request finds a way at all."""
        return self.outcome in ("forwarded", "answered", "failed", "tcp")
