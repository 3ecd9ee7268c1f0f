"""`ssl.*` of a listener or cluster (Envoy's `ALL_SSL_STATS`, and what `ContextImpl::logHandshake` counts)."""

from __future__ import annotations

from proxy.stats import Counter, Stats


class TlsStats:
    """`prefix` ends with a dot: `listener.<address>.` or `cluster.<name>.`"""

    def __init__(self, stats: Stats, prefix: str) -> None:
        self._stats = stats
        self._prefix = f"{prefix}ssl."
        self._named: dict[str, Counter] = {}

        def counter(name: str) -> Counter:
            return stats.counter(f"{self._prefix}{name}")

        self.handshake = counter("handshake")
        self.connection_error = counter("connection_error")
        self.no_certificate = counter("no_certificate")
        self.session_reused = counter("session_reused")
        self.fail_verify_no_cert = counter("fail_verify_no_cert")
        self.fail_verify_error = counter("fail_verify_error")
        self.fail_verify_san = counter("fail_verify_san")
        self.fail_verify_cert_hash = counter("fail_verify_cert_hash")
        self.ocsp_staple_requests = counter("ocsp_staple_requests")
        self.ocsp_staple_responses = counter("ocsp_staple_responses")
        self.ocsp_staple_omitted = counter("ocsp_staple_omitted")
        self.ocsp_staple_failed = counter("ocsp_staple_failed")

    def named(self, kind: str, name: str) -> Counter:
        """`ssl.<kind>.<name>`. There are as many as the library has ciphers and the like."""
        key = f"{kind}.{name}"
        found = self._named.get(key)
        if found is None:
            found = self._named[key] = self._stats.counter(f"{self._prefix}{key}")
        return found
