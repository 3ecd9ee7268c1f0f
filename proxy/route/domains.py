"""Which virtual host serves an authority (`VirtualHost.domains`).

Exact domain → longest suffix wildcard (`*.example.com`) → longest prefix wildcard (`example.*`) → `*`. Comparison
ignores case and includes the port; a wildcard never stands for the empty string.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class DomainTable(Generic[T]):
    """Domains → values. One dict look-up per distinct wildcard length, however many domains there are."""

    __slots__ = ("_default", "_exact", "_prefixes", "_suffixes")

    def __init__(self, domains: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[bytes, T] = {}
        self._default: T | None = None
        suffixes: dict[int, dict[bytes, T]] = {}
        prefixes: dict[int, dict[bytes, T]] = {}
        for domain, value in domains:
            key = domain.lower().encode()
            if key == b"*":
                self._default = value
            elif key.startswith(b"*"):
                suffixes.setdefault(len(key) - 1, {})[key[1:]] = value
            elif key.endswith(b"*"):
                prefixes.setdefault(len(key) - 1, {})[key[:-1]] = value
            else:
                self._exact[key] = value
        self._suffixes = sorted(suffixes.items(), reverse=True)
        self._prefixes = sorted(prefixes.items(), reverse=True)

    def find(self, authority: bytes) -> T | None:
        """The value of the domain that matches `authority` (a Host header's value) best, or None."""
        host = authority.lower()
        found = self._exact.get(host)
        if found is not None:
            return found
        for length, by_suffix in self._suffixes:
            if length < len(host):
                found = by_suffix.get(host[-length:])
                if found is not None:
                    return found
        for length, by_prefix in self._prefixes:
            if length < len(host):
                found = by_prefix.get(host[:length])
                if found is not None:
                    return found
        return self._default
