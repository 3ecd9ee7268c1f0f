"""`/stats/prometheus`: what a Prometheus server scrapes."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request
from master.admin.pages.stats import exposition


async def page(request: Request, context: Context) -> Reply:
    return await exposition(request, context)
