"""What loggers of one worker write to."""

from __future__ import annotations

from typing import NamedTuple

from proxy.access_log.grpc_streams import GrpcLogStreams
from proxy.access_log.writer import LogWriter
from proxy.stats import MemoryStats
from proxy.upstream.manager import ClusterView


class Sinks(NamedTuple):
    """The thread that writes files, and the streams to gRPC services."""

    writer: LogWriter
    streams: GrpcLogStreams


def no_sinks() -> Sinks:
    """Those of nobody: what is written to them stays there."""
    stats = MemoryStats()
    return Sinks(LogWriter(stats), GrpcLogStreams(ClusterView({}), stats))
