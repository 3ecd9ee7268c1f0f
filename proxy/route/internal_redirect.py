"""Whether a redirect is followed by the proxy, and the request that follows it.

The rules, and their order, are those of `Filter::convertRequestHeadersForInternalRedirect`. No I/O: who sends the new
request is the router.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

from proxy.config.internal_redirect import InternalRedirectPolicy
from proxy.http.h1_strict import AUTHORITY
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.route.entry import RouteEntry

ORIGINAL_URL = b"x-envoy-original-url"

# RFC 3986 3, but for a fragment behind no path, which Envoy does not take. A fragment is the client's own.
_URL = re.compile(rb"([a-z][a-z0-9+.-]*)://([^/?#]*)(?:([/?][\x21\x22\x24-\x7e\x80-\xff]*)(?:#.*)?)?", re.IGNORECASE)
_PORT = re.compile(rb":([0-9]+)$")
_MAX_PORT = 65535
_SCHEMES = frozenset({b"http", b"https"})

_SEE_OTHER = 303


class Refusal(enum.Enum):
    """Why a redirect goes to the client: `http.<prefix>.passthrough_internal_redirect_<value>`."""

    BAD_LOCATION = "bad_location"
    UNSAFE_SCHEME = "unsafe_scheme"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    NO_ROUTE = "no_route"
    PREDICATE = "predicate"


class Redirects:
    """What one request of a client has been through."""

    __slots__ = ("_taken", "count")

    def __init__(self) -> None:
        self.count = 0
        self._taken: set[tuple[str, str]] = set()

    def follow(
        self,
        policy: InternalRedirectPolicy,
        request: Request,
        response: Headers,
        *,
        status: int,
        route: str,
        find: Callable[[Request], RouteEntry | None],
    ) -> RouteEntry | Refusal:
        """The route of the request that `request` becomes, in place, to follow the redirect `response`; or why the
        redirect is not followed: then `request` stays as it was.

        `policy` and `route` (its name) are those of the route that was redirected. `find` gives the route of a request.
        """
        target = _URL.fullmatch(response.get(b"location") or b"")
        if target is None or not _is_authority(target[2]):
            return Refusal.BAD_LOCATION
        scheme, secure = target[1].lower(), request.scheme == b"https"
        if scheme not in _SCHEMES or (not policy.cross_scheme and scheme != request.scheme):
            return Refusal.UNSAFE_SCHEME
        if self.count >= policy.max_redirects:
            return Refusal.TOO_MANY_REDIRECTS
        original = b"%b://%b%b" % (request.scheme, request.authority, request.path)
        new = request.copy()
        _copy(policy.copied_headers, response, new.headers)
        new.scheme, new.authority = scheme, target[2]
        new.path = target[3] or b"/"
        entry = find(new)
        if entry is None:
            return Refusal.NO_ROUTE
        if not self._accepts(policy, entry.route.name, route, upgrades=scheme == b"https" and not secure):
            return Refusal.PREDICATE
        if status == _SEE_OTHER and new.method not in (b"GET", b"HEAD"):  # RFC 9110 15.4.4
            new.method = b"GET"
            new.headers.remove(b"content-length")
        self.count += 1
        new.headers.set(ORIGINAL_URL, original)
        request.method, request.scheme, request.authority, request.path = new.method, scheme, new.authority, new.path
        request.headers = new.headers
        return entry

    def _accepts(self, policy: InternalRedirectPolicy, target: str, route: str, *, upgrades: bool) -> bool:
        if policy.previous_routes:
            if (route, target) in self._taken:
                return False
            self._taken.add((route, target))
        if policy.allowed_routes is not None and target not in policy.allowed_routes:
            return False
        return not (policy.safe_cross_scheme and upgrades)


def _is_authority(text: bytes) -> bool:
    if not AUTHORITY.fullmatch(text):
        return False
    port = _PORT.search(text)
    return port is None or int(port[1]) <= _MAX_PORT


def _copy(names: tuple[str, ...], response: Headers, headers: Headers) -> None:
    """What the response says under these names takes the place of what the request said."""
    for name in map(str.encode, names):
        headers.remove(name)
        for value in response.get_all(name):
            headers.add(name, value)
