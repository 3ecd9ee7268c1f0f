"""The application log of every process: one line to stderr, in Envoy's default shape. Standard library alone.

`[2026-11-22 20:00:00.000][pid][level][component] text`, where component is the logger's name.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.CRITICAL + 1,
}

COMPONENTS = (
    "admin",
    "controller",
    "dns",
    "filter",
    "proxy.access_log",
    "proxy.http",
    "proxy.listener",
    "proxy.net",
    "proxy.server",
    "proxy.tls",
    "proxy.upstream",
    "root",
    "supervisor",
    "template",
    "worker",
)
"""The loggers whose level can be changed. `root` is everything else: libraries, and the filters of users."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().format(record)


def configure(level: str) -> None:
    """Send the log of this process to stderr from `level` (a key of `LEVELS`) upwards."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            "[%(asctime)s.%(msecs)03d][%(process)d][%(levelname)s][%(name)s] %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    logging.raiseExceptions = False  # a closed or full stderr must never take a process down


def set_levels(levels: Mapping[str, str]) -> None:
    """Log each component of `levels` from its level (a key of `LEVELS`) upwards, in this process."""
    for component, level in levels.items():
        logging.getLogger(component).setLevel(LEVELS[level])
