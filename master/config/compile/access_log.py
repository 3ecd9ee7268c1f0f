"""Access logs (`config.accesslog.v3.AccessLog`): a logger by its type, and a filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from master.config.compile.plugins import compile_plugin
from proxy.access_log import ACCESS_LOGGERS
from proxy.access_log.filters import filter_from_proto
from proxy.config.access_log import AccessLog

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.accesslog.v3.AccessLog": ("filter", "typed_config"),
}


def compile_access_logs(values: Iterable[Any], context: Context) -> tuple[AccessLog, ...]:
    """`context` stands for their list."""
    compiled = []
    for index, message in enumerate(values):
        here = context.at(index)
        condition = filter_from_proto(message.filter, here.at("filter")) if message.HasField("filter") else None
        if not message.HasField("typed_config"):
            if not here.incomplete():
                here.error((), f"access log {message.name!r} has no typed_config", "typed_config", kind="missing_type")
            continue
        what = "access logger"
        logger = compile_plugin(message.name, message.typed_config, here.at("typed_config"), ACCESS_LOGGERS, what)
        if logger is not None:
            compiled.append(AccessLog(logger, condition))
    return tuple(compiled)
