"""`config.accesslog.v3.AccessLog` at work: a filter and a logger."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from proxy import registry
from proxy.access_log import ACCESS_LOGGERS
from proxy.access_log.filters import Predicate, compile_filter
from proxy.access_log.log import Log, PlannedLog
from proxy.access_log.rendering import Index
from proxy.access_log.sinks import Sinks
from proxy.config import access_log as config
from proxy.http.stream_info import StreamInfo


def build_access_logs(configs: Iterable[config.AccessLog], sinks: Sinks) -> tuple[Log, ...]:
    """The logs of one listener or connection manager, in order."""
    return tuple(_build(one, sinks) for one in configs)


def _build(one: config.AccessLog, sinks: Sinks) -> Log:
    logger_class = registry.load(ACCESS_LOGGERS, one.logger.type_url)
    logger = logger_class(msgspec.msgpack.decode(one.logger.config, type=logger_class.Config), sinks)
    log = Log(logger.log, logger.planned)
    return log if one.filter is None else _filtered(log, compile_filter(one.filter))


def _filtered(all_of_them: Log, logged: Predicate) -> Log:
    def log(info: StreamInfo) -> None:
        if logged(info):
            all_of_them.log(info)

    def planned(info: StreamInfo) -> PlannedLog:
        log_planned = all_of_them.planned(info)

        def log(info: StreamInfo, sent: Index, got: Index) -> None:
            if logged(info):
                log_planned(info, sent, got)

        return log

    return Log(log, planned)
