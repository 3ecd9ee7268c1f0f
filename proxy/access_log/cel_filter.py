"""`envoy.access_loggers.extension_filters.cel`: exchanges are logged of which an expression is true."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.access_log.cel import Failed, compile_expression
from proxy.access_log.operator import FormatError
from proxy.config.context import CompileContext
from proxy.http.stream_info import StreamInfo

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": ("expression",),
}


class ExpressionFilter:
    """An error is no, as in Envoy, and so is every value but true."""

    class Config(msgspec.Struct, frozen=True):
        """`ExpressionFilter`."""

        expression: str

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles an `ExpressionFilter`."""
        try:
            compile_expression(message.expression)
        except FormatError as error:
            context.error(("expression",), error.message, error.expected)
        return cls.Config(message.expression)

    def __init__(self, config: Config) -> None:
        self._evaluate = compile_expression(config.expression)

    def logged(self, info: StreamInfo) -> bool:
        try:
            return self._evaluate(info) is True
        except Failed:
            return False
