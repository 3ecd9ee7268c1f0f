"""A file system of a few KiB, which is really full when it is full, and is gone when its holder is."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec cat'


@contextlib.contextmanager
def tiny_disk(mount_point: Path, size: str) -> Iterator[Path]:
    """A tmpfs of `size` (`256k`), by the path at which everybody with our rights reaches it. Skips where nobody may.

    It is mounted in a mount namespace of its own, so that even a killed test run leaves no mount behind.
    """
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT, "sh", size, str(mount_point)]
    try:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"a tmpfs may not be mounted here: {holder.stderr.read().strip()}")
        try:
            yield Path(f"/proc/{holder.pid}/root{mount_point}")
        finally:
            holder.stdin.close()
