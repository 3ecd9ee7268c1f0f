"""Routes that answer themselves: `DirectResponseAction` and `RedirectAction` (features §13 rules 8 and 9)."""

from __future__ import annotations

from collections.abc import Callable

from proxy.config.route import DirectResponseAction, RedirectAction, RouteMatch
from proxy.errors import ProxyError
from proxy.http.authority import port_start
from proxy.http.identity import XFP
from proxy.http.request import Request
from proxy.route.path import without_query
from proxy.route.rewrite import compile_path_rewrite, rewrite_path

Reply = Callable[[Request, bool], ProxyError]
"""Takes the request, and whether its headers are to tell the path as it was; gives what is to be raised."""

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def compile_reply(action: DirectResponseAction | RedirectAction, match: RouteMatch) -> Reply:
    if isinstance(action, RedirectAction):
        return _compile_redirect(action, match)
    return lambda request, tell: _direct_response(action, request)


def require_tls(request: Request) -> ProxyError:
    """The redirect of a virtual host that wants TLS: the same URL, its port too, with `https`."""
    return _reply(301, b"", b"https://%b%b" % (request.authority, request.path))


def _direct_response(action: DirectResponseAction, request: Request) -> ProxyError:
    return _reply(action.status, action.body, b"%b://%b%b" % (request.scheme, request.authority, request.path))


def _reply(status: int, body: bytes, location: bytes) -> ProxyError:
    """201 and 3xx say where."""
    headers = ((b"location", location),) if status == 201 or 300 <= status < 400 else ()
    return ProxyError("direct_response", side="downstream", status=status, body=body, headers=headers)


def _compile_redirect(action: RedirectAction, match: RouteMatch) -> Reply:
    rewrite = compile_path_rewrite(action.path_rewrite, match) if action.path_rewrite is not None else None
    host, path = action.host.encode(), action.path.encode()
    scheme = action.scheme.encode()
    port = b":%d" % action.port if action.port else b""
    has_query = b"?" in path

    def reply(request: Request, tell: bool) -> ProxyError:
        if rewrite is not None:
            rewrite_path(request, rewrite, tell=tell)
        new_scheme = scheme or request.scheme
        new_host = host or _host(request, new_scheme, new_port=bool(port))
        new_path = path or request.path
        if path and not has_query:
            new_path += request.path[len(without_query(request.path)) :]
        if action.strip_query and not has_query:
            new_path = without_query(new_path)
        return _reply(action.status, b"", b"%b://%b%b%b" % (new_scheme, new_host, port, new_path))

    return reply


def _host(request: Request, new_scheme: bytes, *, new_port: bool) -> bytes:
    """The request's own, without a port that is the old scheme's default or gives way to another."""
    colon = port_start(request.authority)
    if colon < 0:
        return request.authority
    claimed = request.headers.get(XFP) or b""
    if new_port or (claimed != new_scheme and _DEFAULT_PORTS.get(claimed) == request.authority[colon:]):
        return request.authority[:colon]
    return request.authority
