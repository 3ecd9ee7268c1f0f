"""`POST /quitquitquit`: exit. The reply goes out first."""

from __future__ import annotations

import functools

from master.admin.page import Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    finish = functools.partial(context.view.shutdown, now="now" in request.query)
    return Reply(b"OK\n", finish=finish)
