"""`/hot_restart_version`: as an Envoy with `--disable-hot-restart` answers; nothing here depends on such a version."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    return Reply(b"disabled")
