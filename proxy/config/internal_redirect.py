"""When the proxy follows a redirect itself (`config.route.v3.InternalRedirectPolicy`). Data only."""

from __future__ import annotations

import msgspec


class InternalRedirectPolicy(msgspec.Struct, frozen=True, gc=False):
    """`statuses`: responses that are followed, of 301, 302, 303, 307 and 308. `cross_scheme`: from http to https too,
    and back. The last three are predicates: `allowed_routes` are names, None for all; `previous_routes` follows no
    redirect to the same route a second time; `safe_cross_scheme` goes from https to http, never from http to https.
    """

    max_redirects: int = 1
    statuses: frozenset[int] = frozenset({302})
    cross_scheme: bool = False
    copied_headers: tuple[str, ...] = ()
    allowed_routes: frozenset[str] | None = None
    previous_routes: bool = False
    safe_cross_scheme: bool = False
