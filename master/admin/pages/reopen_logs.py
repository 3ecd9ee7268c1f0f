"""`POST /reopen_logs`: what USR1 does, for those who cannot send signals."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    await context.view.reopen_logs()
    return Reply(b"OK\n")
