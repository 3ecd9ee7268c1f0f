"""`envoy.access_loggers.stderr`: lines on the standard error that the proxy was started with."""

from __future__ import annotations

from proxy.access_log.stream import StreamAccessLog


class StderrAccessLog(StreamAccessLog):
    """`StderrAccessLog`."""

    descriptor = 2
