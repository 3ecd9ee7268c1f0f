"""The last edits of a route's requests and responses (`finalizeRequestHeaders`, `finalizeResponseHeaders`).

In Envoy's order: the number of the attempt, header mutations level by level, the host, the path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proxy.config.header_mutation import HeaderMutations
from proxy.config.route import ClusterAction, ClusterWeight, Route, RouteConfiguration, VirtualHost
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.http.stream_info import StreamInfo
from proxy.route.rewrite import (
    RewriteHost,
    RewritePath,
    compile_host_rewrite,
    compile_path_rewrite,
    compile_share_host,
    rewrite_path,
)

ATTEMPT_COUNT = b"x-envoy-attempt-count"

EditHeaders = Callable[[Headers, StreamInfo], None]
FinishRequest = Callable[[Request, StreamInfo, bool], None]
"""Takes the request, what is known of its exchange, and whether the upstream is told the path as it was."""

Level = RouteConfiguration | VirtualHost | Route
"""What has `header_mutations`."""


class HeaderEdits(NamedTuple):
    """What mutations do to the headers of requests and responses; None for nothing. `constant`: always the same."""

    request: EditHeaders | None = None
    response: EditHeaders | None = None
    constant: bool = True


CompileEdits = Callable[[tuple[HeaderMutations, ...]], HeaderEdits]
"""Compiles mutations in the order in which they are made, level by level. They may hold command operators, which stand
on a higher floor than routes: so whoever builds a table passes this."""


def no_edits(levels: tuple[HeaderMutations, ...]) -> HeaderEdits:
    """For tables that only match."""
    return HeaderEdits()


class Finish(NamedTuple):
    """None where there is nothing to do. `path` is the part of `request` that concerns the path; `by_head`: the rest of
    it follows from the request's header lines, whatever the path, the time and the connection.
    """

    request: FinishRequest | None = None
    response: EditHeaders | None = None
    path: RewritePath | None = None
    by_head: bool = True


def mutation_levels(config: RouteConfiguration, virtual_host: VirtualHost, route: Route) -> tuple[Level, ...]:
    """Whose mutations are made, first to last; those of a weighted cluster come before all of them."""
    return (config, virtual_host, route) if config.most_specific_wins else (route, virtual_host, config)


def compile_finish(
    config: RouteConfiguration,
    virtual_host: VirtualHost,
    route: Route,
    share: ClusterWeight | None,
    compile_edits: CompileEdits,
) -> Finish:
    edits = compile_edits(tuple(level.header_mutations for level in mutation_levels(config, virtual_host, route)))
    # The share's come first, whoever is to win among the others.
    own = compile_edits((share.header_mutations,)) if share is not None else HeaderEdits()
    host, path, by_head = None, None, own.constant and edits.constant
    action = route.action
    if isinstance(action, ClusterAction):
        if action.host_rewrite is not None:
            host = compile_host_rewrite(action.host_rewrite, append=action.append_x_forwarded_host)
            by_head = by_head and action.host_rewrite.kind != "path_regex" and action.host_rewrite.value != ":path"
        if action.path_rewrite is not None:
            path = compile_path_rewrite(action.path_rewrite, route.match)
    share_host = compile_share_host(share) if share is not None and share.host else None
    count, told = virtual_host.request_attempt_count, virtual_host.response_attempt_count
    request_steps = (count, own.request, share_host, edits.request, host, path)
    response_steps = (told, own.response, edits.response)
    return Finish(
        _request(*request_steps) if any(request_steps) else None,
        _response(*response_steps) if any(response_steps) else None,
        path,
        by_head,
    )


def _request(
    count: bool,
    own: EditHeaders | None,
    share_host: RewriteHost | None,
    edits: EditHeaders | None,
    host: RewriteHost | None,
    path: RewritePath | None,
) -> FinishRequest:
    def finish(request: Request, info: StreamInfo, tell: bool) -> None:
        if count:
            request.headers.set(ATTEMPT_COUNT, b"1")  # whoever tries again says so
        if own is not None:
            own(request.headers, info)
        if share_host is not None:
            share_host(request)
        if edits is not None:
            edits(request.headers, info)
        if host is not None:
            host(request)
        if path is not None:
            rewrite_path(request, path, tell=tell)

    return finish


def _response(told: bool, own: EditHeaders | None, edits: EditHeaders | None) -> EditHeaders:
    def finish(headers: Headers, info: StreamInfo) -> None:
        if told and info.upstream_attempts:
            headers.set(ATTEMPT_COUNT, b"%d" % info.upstream_attempts)
        if own is not None:
            own(headers, info)
        if edits is not None:
            edits(headers, info)

    return finish
