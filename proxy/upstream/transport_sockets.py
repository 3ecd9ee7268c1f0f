"""What the connections of a cluster speak: nothing but TCP, or TLS as the cluster says, or the match of a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.config.cluster import Cluster, Host
from proxy.config.tls import UpstreamTls
from proxy.stats import Stats
from proxy.upstream.announced import Announced
from proxy.upstream.socket_matches import place_of
from proxy.upstream.transport_options import NO_OPTIONS, TransportOptions

if TYPE_CHECKING:
    from proxy.net.tls.client import ClientTls
    from proxy.net.tls.stats import TlsStats
    from proxy.upstream.announced import Manner

HTTP1 = ("http/1.1",)
HTTP2 = ("h2",)


class TransportSockets:
    """Those of one cluster."""

    def __init__(self, config: Cluster, stats: Stats) -> None:
        self._stats = stats
        self._scope = f"cluster.{config.stat_name}."
        self._tls_stats: TlsStats | None = None
        self._matches = config.socket_matches
        self._configs = (*(match.tls for match in self._matches), config.tls)
        self._announces = (*(match.proxy_protocol for match in self._matches), config.proxy_protocol)
        self._tls = [self._client_tls(each) for each in self._configs]

    def renew(self, config: Cluster) -> Callable[[], None]:
        """Get ready for a `config` whose TLS differs in secrets alone; what is returned puts it into effect."""
        wanted = (*(match.tls for match in config.socket_matches), config.tls)
        commits = [
            tls.renew(now)
            for tls, before, now in zip(self._tls, self._configs, wanted, strict=True)
            if tls is not None and now is not None and before != now
        ]

        def commit() -> None:
            self._configs = wanted
            for commit_tls in commits:
                commit_tls()

        return commit

    def place(self, host: Host) -> int:
        """A number for the transport socket of `host`."""
        return place_of(self._matches, host.metadata) if self._matches else -1

    def towards(
        self, host: Host, options: TransportOptions | None = None, applications: tuple[str, ...] = ()
    ) -> Manner | None:
        """How to speak to `host` for a request with `options`; None for plain TCP. `applications` are offered by ALPN
        where the configuration names no protocol.
        """
        place, asked = self.place(host), options or NO_OPTIONS
        tls, version = self._tls[place], self._announces[place]
        peer = tls.towards(host.hostname, asked.server_name, asked.sans, applications) if tls is not None else None
        return Announced(version, asked.owner, peer) if version else peer

    def _client_tls(self, config: UpstreamTls | None) -> ClientTls | None:
        """What is needed for TLS is loaded only by those who have it."""
        if config is None:
            return None
        from proxy.net.tls.client import ClientTls
        from proxy.net.tls.stats import TlsStats

        if self._tls_stats is None:
            self._tls_stats = TlsStats(self._stats, self._scope)
        return ClientTls(config, self._tls_stats)
