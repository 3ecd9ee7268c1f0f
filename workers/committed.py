"""Reading the committed configuration: a manifest for the supervisor, then the compiled bytes for everyone else."""

from __future__ import annotations

import mmap
import struct

from proxy.config import bootstrap
from shm import memfd

MAX_CONFIG = 1 << 30  # bytes


def read(fd: int) -> bootstrap.CompiledConfig:
    """The compiled configuration in the sealed memfd `fd` (8-byte length of the manifest, manifest, MessagePack).

    What of it is kept raw, the plug-ins' configurations, lies in the memory file itself, which all processes share.
    """
    size = memfd.check_sealed(fd, MAX_CONFIG)
    data = memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    (manifest,) = struct.unpack_from("<Q", data)
    return bootstrap.decode(data[8 + manifest :])
