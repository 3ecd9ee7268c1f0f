"""The codecs of a cluster's connections."""

from __future__ import annotations

import functools

from proxy.config.cluster import Cluster
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h2_client import H2ClientCodec
from proxy.http.h2_first_window import Crowd
from proxy.http.h2_stats import Http2Stats
from proxy.stats import Stats


class Codecs:
    """Makes one for each connection. Does not know the cluster, which would wait for the collector."""

    def __init__(self, config: Cluster, stats: Stats) -> None:
        self._config = config
        self._stats = stats
        self._crowd = Crowd()

    @functools.cached_property
    def http2_stats(self) -> Http2Stats:
        """`cluster.<name>.http2.*`, which exist from the first connection on that needs them, as in Envoy."""
        return Http2Stats(self._stats, f"cluster.{self._config.stat_name}.")

    def http1(self) -> H1ClientCodec:
        config = self._config
        return H1ClientCodec(
            max_headers_bytes=config.max_response_headers_kb * 1024,
            max_headers_count=config.max_response_headers_count,
            options=config.http1,
        )

    def http2(self) -> H2ClientCodec:
        config = self._config
        return H2ClientCodec(
            config.http2,
            self.http2_stats,
            max_headers_bytes=config.max_response_headers_kb * 1024,
            max_headers_count=config.max_response_headers_count,
            crowd=self._crowd,
        )
