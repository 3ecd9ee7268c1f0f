"""`envoy.access_loggers.file`: lines appended to a file, a FIFO or a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from proxy.access_log.lines import LineLogger
from proxy.access_log.output import STANDARD, file_output
from proxy.access_log.sinks import Sinks
from proxy.access_log.substitution import compile_format, log_format_from_proto
from proxy.config.access_log import Format
from proxy.config.context import CompileContext

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.extensions.access_loggers.file.v3.FileAccessLog": ("path", "log_format"),
}


class FileAccessLog(LineLogger):
    """Loggers with the same path write through one queue."""

    class Config(msgspec.Struct, frozen=True):
        """`FileAccessLog`."""

        path: str
        format: Format

    @classmethod
    def from_proto(cls, message: Any, context: CompileContext) -> Config:
        """Compiles a `FileAccessLog`; a file that we could not write to is reported."""
        check_path(message.path, context, "path")
        return cls.Config(message.path, log_format_from_proto(message, context))

    def __init__(self, config: Config, sinks: Sinks) -> None:
        super().__init__(compile_format(config.format), sinks.writer.queue(file_output(config.path)))


def check_path(path: str, context: CompileContext, *place: str | int) -> None:
    """Report that lines could not be written to the file at `path`, which stands at `place` below `context`."""
    if path and not context.will_exist(str(Path(path).parent)) and (fault := unwritable(path)):
        context.error(place, fault, "a path that the proxy's user may write to")


def unwritable(path: str) -> str:
    """Why `path` cannot be opened for writing by this process, whose user is the workers'; "" if it can."""
    if path in STANDARD:
        return ""
    if "\0" in path:
        return f"{path!r} cannot be the name of a file"
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        directory = Path(path).parent
        if not directory.is_dir():
            return f"cannot open {path}: there is no directory {directory}; create it"
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            return f"cannot create {path}: {_who()} may not write to {directory}; chown or chmod it, or change --user"
        return ""
    except OSError as error:
        return f"cannot open {path}: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"cannot open {path}: it is a directory"
    if not os.access(path, os.W_OK, effective_ids=True):
        return f"cannot open {path}: {_who()} may not write to it; chown or chmod it, or change --user"
    return ""


def _who() -> str:
    return f"user {os.geteuid()}"
