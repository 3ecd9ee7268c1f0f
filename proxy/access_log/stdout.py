"""`envoy.access_loggers.stdout`: lines on the standard output that the proxy was started with."""

from __future__ import annotations

from proxy.access_log.stream import StreamAccessLog


class StdoutAccessLog(StreamAccessLog):
    """`StdoutAccessLog`."""

    descriptor = 1
