"""What the sinks for standard output and standard error have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from proxy.access_log.lines import LineLogger
from proxy.access_log.output import StandardOutput
from proxy.access_log.sinks import Sinks
from proxy.access_log.substitution import compile_format, log_format_from_proto
from proxy.config.access_log import Format
from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": ("log_format",),
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": ("log_format",),
}


class StreamAccessLog(LineLogger):
    """Lines on `descriptor`. A reader that does not read loses lines, and never holds a request up."""

    descriptor: ClassVar[int]

    class Config(msgspec.Struct, frozen=True):
        """`StdoutAccessLog` and `StderrAccessLog`."""

        format: Format

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles either message."""
        return cls.Config(log_format_from_proto(message, context))

    def __init__(self, config: Config, sinks: Sinks) -> None:
        super().__init__(compile_format(config.format), sinks.writer.queue(StandardOutput(self.descriptor)))
