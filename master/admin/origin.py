"""Who may talk to the admin server over TCP: a browser must not be made to do it by a page that it shows.

*DNS rebinding*: a page of `evil.example` whose name suddenly resolves to this machine reads our answers, since to the
browser the origin is the same. Its requests carry `Host: evil.example`, so only names are accepted that nobody can
register: addresses, single labels (`localhost`, a container's or a service's name), this machine's own name, and names
below the reserved top-level domains (RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`).
*CSRF*: a foreign page may send a POST; the browser adds `Origin`, which must then be our own address.
"""

from __future__ import annotations

import ipaddress

RESERVED = (".localhost", ".local", ".internal", ".test", ".home.arpa")


def host_allowed(authority: str, own_name: str) -> bool:
    """Whether `authority` (the Host header: host with an optional port) is a name for this machine alone."""
    host = host_of(authority)
    return _is_address(host) or ("." not in host and host != "") or host == own_name.lower() or host.endswith(RESERVED)


def origin_allowed(origin: str, authority: str) -> bool:
    """Whether a request with this Origin header comes from a page that we served ourselves. `null` does not."""
    scheme, separator, rest = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and rest.lower() == authority.lower()


def host_of(authority: str) -> str:
    """The host of `host:port` or `[v6]:port`, in lower case, without the brackets and a final dot."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
