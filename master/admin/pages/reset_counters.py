"""`POST /reset_counters`: all counters count from zero again; gauges and histograms stay."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    await context.view.reset_counters()
    return Reply(b"OK\n")
