"""`/memory`: `admin.v3.Memory` over all processes. Python has no tcmalloc, so its own fields are 0."""

from __future__ import annotations

import psutil
import trio

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    pids = [process.pid for process in context.view.processes()]
    return await trio.to_thread.run_sync(_reply, pids, abandon_on_cancel=True)


def _reply(pids: list[int]) -> Reply:
    """`allocated`: what the processes hold for themselves; `heap_size`: what they have asked for; the physical bytes
    count what they share once.
    """
    used = [memory for memory in map(_memory, pids) if memory is not None]
    private = sum(own for own, _, _ in used)
    values = {
        "allocated": private,
        "heap_size": sum(data for _, data, _ in used),
        "pageheap_unmapped": 0,
        "pageheap_free": 0,
        "total_thread_cache": 0,
        "total_physical_bytes": private + max((shared for _, _, shared in used), default=0),
    }
    return Reply(envoy_json.dump({name: str(value) for name, value in values.items()}), JSON)


def _memory(pid: int) -> tuple[int, int, int] | None:
    """Bytes that are the process's own, that it has asked for, and that it shares; None if it has ended."""
    try:
        memory = psutil.Process(pid).memory_info()
        return memory.rss - memory.shared, memory.data, memory.shared
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
