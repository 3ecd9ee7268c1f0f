"""An answer for a person: the decision in the first lines, what led to it and what follows from it below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from master.explain.request.answer import Answer, Breaker, Candidate, Change, Cluster, Host, Named, Setting, Subset
from master.explain.request.place import Place

OTHER_PATHS = 5
"""So many routes for other paths are listed; of more, only how many."""
MAX_TRIED = 40
MAX_HOSTS = 8
WIDTH = 62
"""Columns of what stands in front of a place; what is longer pushes it away."""


class Line(NamedTuple):
    """`heading`: to be told apart."""

    text: str
    heading: bool = False


class Row(NamedTuple):
    """`name`, `text`, and where the configuration says so."""

    name: str
    text: str
    place: Place | None = None


def lines(answer: Answer) -> Iterator[Line]:
    """The whole answer. Texts are as they came from the network."""
    yield Line(f"{answer.method} {answer.url}", heading=True)
    yield Line(f"  → {verdict(answer)}", heading=True)
    yield from _rows(_way(answer))
    for heading, rows in _sections(answer):
        found = list(rows)
        if found:
            yield Line("")
            yield Line(heading, heading=True)
            yield from _rows(found)
    if answer.notes:
        yield Line("")
        for note in answer.notes:
            yield Line(f"note: {note}")


def verdict(answer: Answer) -> str:
    """`cluster cart, 2 hosts`, `301, to https://…`, `404: no route takes it`."""
    reply, cluster = answer.reply, answer.cluster
    match answer.outcome:
        case "forwarded" | "tcp" if cluster is not None:
            return _to_cluster(cluster)
        case "tcp":
            return "no HTTP is spoken there"
        case "no_route" if answer.virtual_host is None:
            return f"{_status(answer)}: no virtual host has this authority"
        case "no_route":
            return f"{_status(answer)}: no route of the virtual host takes it"
    assert reply is not None
    location = dict(reply.headers).get("location", "")
    where = f", to {location}" if location else ""
    if answer.outcome == "answered":
        return f"{reply.status}{where}, by the route itself"
    told = f" ({reply.meaning})" if reply.meaning else ""
    early = " before it is routed" if answer.outcome == "refused" else ""
    return f"{reply.status or 'no answer'}{where}: {reply.detail}{early}{told}"


def _status(answer: Answer) -> str:
    return str(answer.reply.status) if answer.reply is not None else ""


def _to_cluster(cluster: Cluster) -> str:
    if not cluster.known:
        return f"cluster {cluster.name}, which does not exist"
    drawn = next((share for share in cluster.shares if share.drawn), None)
    chance = f", which takes {drawn.percent:.3g} % of the requests" if drawn is not None else ""
    count = len(cluster.hosts)
    hosts = cluster.note if not count else "1 host" if count == 1 else f"{count} hosts"
    if count and cluster.note:
        hosts += f", {cluster.note}"
    return f"cluster {cluster.name}{chance}: {hosts}"


def _way(answer: Answer) -> Iterator[Row]:
    yield _named("listener", answer.listener)
    if answer.filter_chain.how != "the only one":
        yield _named("filter chain", answer.filter_chain)
    if answer.caller:
        yield Row("caller", answer.caller)
    if answer.virtual_host is not None:
        yield _named("virtual host", answer.virtual_host)
    if answer.route is not None:
        route = answer.route
        name = " ".join(filter(None, (f"{route.index}" if route.index >= 0 else "", route.name)))
        yield Row("route", f"{name}: {route.how}" if name else route.how, route.place)
    if answer.cluster is not None:
        yield Row(
            "cluster", f"{answer.cluster.name or '(no name)'}, named by {answer.cluster.how}", answer.cluster.place
        )


def _named(what: str, named: Named) -> Row:
    return Row(what, f"{named.name}: {named.how}" if named.name else named.how, named.place)


def _sections(answer: Answer) -> Iterator[tuple[str, Iterable[Row]]]:
    yield "routes tried before" if answer.route is not None else "routes tried", _tried(answer.tried)
    yield "request, as it is routed", _changes(answer.admission)
    yield "HTTP filters", _filters(answer)
    yield "request, after the filters", _changes(answer.by_filters)
    yield "timeouts", _settings(answer.timeouts)
    yield "retries", _settings(answer.retry)
    yield "mirrors", _settings(answer.mirrors)
    yield (
        "edits by the route, in this order",
        (Row(edit.direction, f"{edit.what}  [{edit.level}]", edit.place) for edit in answer.edits),
    )
    yield "upstream gets", _head(answer)
    yield "hosts", _hosts(answer.cluster)
    yield "answer", _reply(answer)


def _tried(tried: Sequence[Candidate]) -> Iterator[Row]:
    other_paths = [one for one in tried if one.by_path]
    left_out = set() if len(other_paths) <= OTHER_PATHS else {one.index for one in other_paths}
    shown = [one for one in tried if one.index not in left_out]
    for one in shown[-MAX_TRIED:]:
        yield Row(" ".join(filter(None, (str(one.index), one.name))), one.why, one.place)
    if len(shown) > MAX_TRIED:
        yield Row("…", f"and {len(shown) - MAX_TRIED} before these")
    if left_out:
        yield Row("…", f"and {len(left_out)} for other paths (--json lists them)")


def _changes(changes: Iterable[Change]) -> Iterator[Row]:
    for change in changes:
        name, why = change.part.removeprefix("header "), f"  ({change.why})" if change.why else ""
        place = change.place if change.place.path else None
        if change.before is None:
            yield Row("+", f"{name}: {change.after}{why}", place)
        elif change.after is None:
            yield Row("-", f"{name}: {change.before}{why}", place)
        else:
            yield Row("~", f"{name}: {change.before} → {change.after}{why}", place)


def _filters(answer: Answer) -> Iterator[Row]:
    for one in answer.filters:
        yield Row(one.name, f"{one.kind}{f': {one.note}' if one.note else ''}", one.place)
        for place in one.overrides:
            yield Row("", "per-route configuration", place)


def _settings(settings: Sequence[Setting]) -> Iterator[Row]:
    """Limits that nobody has set share a line."""
    unset = [one.name for one in settings if one.value == "none" and not one.place.path and not one.by]
    for one in settings:
        if one.name not in unset:
            yield Row(
                one.name, f"{one.value}  (header {one.by})" if one.by else one.value, None if one.by else one.place
            )
    if unset:
        yield Row("none", ", ".join(unset))


def _head(answer: Answer) -> Iterator[Row]:
    head = answer.upstream
    if head is None:
        return
    protocol = answer.cluster.protocol if answer.cluster is not None else "HTTP/1.1"
    yield Row("", f"{head.method} {head.path or head.authority} {protocol}")
    yield Row("", f"host: {head.authority}")
    for name, value in head.headers:
        yield Row("", f"{name}: {value}")


def _hosts(cluster: Cluster | None) -> Iterator[Row]:
    if cluster is None or not cluster.known:
        return
    for share in cluster.shares:
        mark = " ← explained here" if share.drawn else ""
        yield Row("share", f"{share.percent:.3g} % to {share.cluster}{mark}", share.place)
    if cluster.subset is not None:
        yield Row("subset", _subset(cluster.subset), cluster.subset.place)
    for host in cluster.hosts[:MAX_HOSTS]:
        yield Row(host.address, _host(host))
    if len(cluster.hosts) > MAX_HOSTS:
        yield Row("…", f"and {len(cluster.hosts) - MAX_HOSTS} more")
    for breaker in cluster.breakers:
        if breaker.place.path:
            yield Row(breaker.name, _breaker(breaker), breaker.place)
    default = [f"{one.name} {_breaker(one)}" for one in cluster.breakers if not one.place.path]
    if default:
        yield Row("breakers", ", ".join(default), Place())


def _subset(subset: Subset) -> str:
    wanted = ", ".join(subset.wanted) or "any hosts"
    if subset.how == "none":
        return f"no host for {wanted}, and no fallback"
    if subset.how == "subset":
        return f"hosts with {wanted}"
    return f"{subset.how} to {', '.join(subset.labels) or 'all hosts'}: no subset for {wanted}"


def _breaker(breaker: Breaker) -> str:
    return f"{breaker.limit}" if breaker.used is None else f"{breaker.used} of {breaker.limit}"


def _host(host: Host) -> str:
    parts = [host.health]
    if host.hostname:
        parts.append(host.hostname)
    if host.weight != 1:
        parts.append(f"weight {host.weight}")
    if host.locality:
        parts.append(host.locality)
    if host.priority:
        parts.append(f"priority {host.priority}")
    if host.rq_active is not None:
        parts.append(f"{host.cx_active} connections, {host.rq_active} requests")
    return ", ".join(parts)


def _reply(answer: Answer) -> Iterator[Row]:
    reply = answer.reply
    if reply is None:
        return
    flags = "" if reply.flags == "-" else f", flags {reply.flags}"
    yield Row("status", f"{reply.status}  [{reply.detail}{flags}]")
    for name, value in reply.headers:
        yield Row("", f"{name}: {value}")
    if reply.size:
        yield Row("body", f"{reply.body.strip()!r}" if reply.size < 60 else f"{reply.size} bytes")


def _rows(rows: Iterable[Row]) -> Iterator[Line]:
    found = list(rows)
    names = min(max((len(row.name) for row in found), default=0), 24)
    texts = min(max((len(row.text) for row in found if row.place is not None), default=0), WIDTH)
    for row in found:
        left = f"  {row.name:<{names}}  " if names else "  "
        yield Line(f"{left}{row.text:<{texts}}  {row.place}" if row.place is not None else f"{left}{row.text}".rstrip())
