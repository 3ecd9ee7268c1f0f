"""`config.accesslog.v3.AccessLog` at work: a filter and a logger."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from proxy import registry
from proxy.access_log import ACCESS_LOGGERS
from proxy.access_log.filters import compile_filter
from proxy.access_log.writer import LogWriter
from proxy.config import access_log as config
from proxy.http.stream_info import StreamInfo

Log = Callable[[StreamInfo], None]
"""Logs an exchange that is over, or not, as its filter says."""


def build_access_logs(configs: Iterable[config.AccessLog], writer: LogWriter) -> tuple[Log, ...]:
    """The logs of one listener or connection manager, in order."""
    return tuple(_build(one, writer) for one in configs)


def _build(one: config.AccessLog, writer: LogWriter) -> Log:
    logger_class = registry.load(ACCESS_LOGGERS, one.logger.type_url)
    logger = logger_class(msgspec.msgpack.decode(one.logger.config, type=logger_class.Config), writer)
    log: Log = logger.log
    if one.filter is None:
        return log
    logged = compile_filter(one.filter)

    def log_some(info: StreamInfo) -> None:
        if logged(info):
            log(info)

    return log_some
