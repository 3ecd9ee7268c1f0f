"""Which virtual host serves an authority (`VirtualHost.domains`).

Exact domain → longest suffix wildcard (`*.example.com`) → longest prefix wildcard (`example.*`) → `*`. Comparison
ignores case and includes the port; a wildcard never stands for the empty string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from proxy.route.prefixes import LongestPrefix

T = TypeVar("T")


class DomainTable(Generic[T]):
    """Domains → values. One look-up for an exact domain, a few for a wildcard, however many domains there are."""

    __slots__ = ("_default", "_exact", "_prefixes", "_suffixes")

    def __init__(self, domains: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[bytes, T] = {}
        self._default: T | None = None
        suffixes: dict[bytes, T] = {}  # spelt backwards
        prefixes: dict[bytes, T] = {}
        for domain, value in domains:
            key = domain.lower().encode()
            if key == b"*":
                self._default = value
            elif key.startswith(b"*"):
                suffixes[key[:0:-1]] = value
            elif key.endswith(b"*"):
                prefixes[key[:-1]] = value
            else:
                self._exact[key] = value
        self._suffixes = LongestPrefix(suffixes) if suffixes else None
        self._prefixes = LongestPrefix(prefixes) if prefixes else None

    def find(self, authority: bytes) -> T | None:
        """The value of the domain that matches `authority` (a Host header's value) best, or None."""
        host = authority.lower()
        found = self._exact.get(host)
        if found is None and self._suffixes is not None:
            found = self._suffixes.find(host[:0:-1])  # all but the first byte, which is the wildcard's
        if found is None and self._prefixes is not None:
            found = self._prefixes.find(host[:-1])
        return self._default if found is None else found
