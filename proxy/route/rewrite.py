"""What a route makes of the path and the host of a request (`RouteEntryImplBase::finalizeRequestHeaders`)."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.route import ClusterWeight, HostRewrite, PathRewrite, RouteMatch
from proxy.http.request import Request
from proxy.route.matcher import lookup
from proxy.route.path import without_query
from proxy.route.substitution import compile_substitution

ORIGINAL_PATH = b"x-envoy-original-path"
ORIGINAL_HOST = b"x-envoy-original-host"
FORWARDED_HOST = b"x-forwarded-host"

RewritePath = Callable[[bytes], bytes | None]
"""What becomes of a path, with its query; None if it stays what it is."""

RewriteHost = Callable[[Request], None]


def compile_path_rewrite(rewrite: PathRewrite, match: RouteMatch) -> RewritePath:
    """`match` is the route's: a prefix that a filter has changed since is nothing to put another in place of."""
    if rewrite.kind == "prefix" and match.kind != "regex":
        return _replace_prefix(match, rewrite.value.encode())
    if rewrite.kind == "prefix":
        whole = rewrite.value.encode()
        return _replace_path(lambda path: whole)
    return _replace_path(compile_substitution(rewrite.pattern, rewrite.value))


def _replace_prefix(match: RouteMatch, replacement: bytes) -> RewritePath:
    matched = match.value.encode()
    folded = matched.lower()

    def rewrite(path: bytes) -> bytes | None:
        beginning = path[: len(matched)]
        if beginning != matched if match.case_sensitive else beginning.lower() != folded:
            return None
        return replacement + path[len(matched) :]

    return rewrite


def _replace_path(substitute: Callable[[bytes], bytes]) -> RewritePath:
    """The path in front of the query."""

    def rewrite(path: bytes) -> bytes:
        before = without_query(path)
        return substitute(before) + path[len(before) :]

    return rewrite


def rewrite_path(request: Request, rewrite: RewritePath, *, tell: bool) -> None:
    """`tell`: the upstream learns what the path was. CONNECT has none."""
    path = request.path
    found = rewrite(path) if path else None
    if found is None:
        return
    if tell:
        request.headers.set(ORIGINAL_PATH, path)
    request.path = found


def compile_host_rewrite(rewrite: HostRewrite, *, append: bool) -> RewriteHost | None:
    """None for the host's own name, which is not known yet. `append`: to `x-forwarded-host`."""
    if rewrite.kind == "auto":
        return None
    if rewrite.kind == "literal":
        literal = rewrite.value.encode()
        return lambda request: set_host(request, literal, append=append)
    if rewrite.kind == "header":
        find = lookup(rewrite.value)
        return lambda request: set_host(request, b"".join(find(request)[:1]), append=append)
    substitute = compile_substitution(rewrite.pattern, rewrite.value)
    return lambda request: set_host(request, substitute(without_query(request.path)), append=append)


def compile_share_host(share: ClusterWeight) -> RewriteHost:
    """`host_rewrite_literal` of a weighted cluster: the original goes without trace, and the route's rewrite, if it has
    one, is made of what this left."""
    host = share.host.encode()

    def rewrite(request: Request) -> None:
        request.authority = host

    return rewrite


def set_host(request: Request, host: bytes, *, append: bool) -> None:
    """`Utility::updateAuthority`. An empty `host` is none."""
    if not host:
        return
    request.headers.set(ORIGINAL_HOST, request.authority)
    if append:
        _append_forwarded_host(request)
    request.authority = host


def _append_forwarded_host(request: Request) -> None:
    """Unless it is the last of the list already."""
    before = request.headers.joined(FORWARDED_HOST)
    if not before:
        request.headers.set(FORWARDED_HOST, request.authority)
    elif before.rpartition(b",")[2] != request.authority:
        request.headers.set(FORWARDED_HOST, b"%b,%b" % (before, request.authority))
