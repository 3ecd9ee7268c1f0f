"""`config.core.v3.DataSource`: content given inline, in a file, or by the environment, read at compile time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from master.config.compile.context import Context

FIELDS: dict[str, tuple[str, ...]] = {
    "envoy.config.core.v3.DataSource": ("filename", "inline_bytes", "inline_string", "environment_variable"),
}


def read(message: Any, context: Context, limit: int | None) -> bytes:
    """`b""` if there is none, or for what is reported: it cannot be read, or is longer than `limit` bytes."""
    kind = message.WhichOneof("specifier")
    if kind is None:
        return b""
    content = _content(kind, getattr(message, kind), context)
    if limit is not None and len(content) > limit:
        context.error((kind,), f"{len(content)} bytes are too many", f"at most {limit} bytes")
        return b""
    return content


def _content(kind: str, value: Any, context: Context) -> bytes:
    if kind == "inline_bytes":
        return bytes(value)
    if kind == "inline_string":
        return str(value).encode()
    if kind == "environment_variable":
        if value not in os.environ:
            context.error((kind,), f"the environment has no variable {value!r}", "one that is set", kind="reference")
        return os.environb.get(value.encode(), b"")
    try:
        content = Path(value).read_bytes()
    except OSError as error:
        context.error((kind,), f"cannot read {value!r}: {error.strerror}", "a readable file", kind="file")
        content = b""
    context.files[value] = hashlib.sha256(content).digest()
    return content
