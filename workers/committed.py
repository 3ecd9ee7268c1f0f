"""Reading the committed configuration: a manifest for the supervisor, then the compiled bytes for everyone else."""

from __future__ import annotations

import struct

from proxy.config import bootstrap
from shm import memfd

MAX_CONFIG = 1 << 30  # bytes


def read(fd: int) -> bootstrap.CompiledConfig:
    """The compiled configuration in the sealed memfd `fd` (8-byte length of the manifest, manifest, MessagePack)."""
    data = memoryview(memfd.read_all(fd, MAX_CONFIG))
    (manifest,) = struct.unpack_from("<Q", data)
    return bootstrap.decode(data[8 + manifest :])
