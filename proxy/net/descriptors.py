"""How many descriptors are left for what is already being served. The lowest free number is what the kernel gives out,
so the number of a new descriptor tells how many are in use.
"""

from __future__ import annotations

import os
import resource

from proxy.limits import SPARE_DESCRIPTORS


def ceiling() -> int:
    """New connections whose descriptor has this number or a higher one are too many: each will need another one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(SPARE_DESCRIPTORS, soft // 8) if soft != resource.RLIM_INFINITY else 1 << 30


def scarce(fd: int) -> bool:
    """Whether there are too few, asked with any open descriptor."""
    try:
        probe = os.dup(fd)
    except OSError:
        return True
    os.close(probe)
    return probe >= ceiling()
