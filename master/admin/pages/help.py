"""`/help`: every page with its parameters."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request
from master.admin.pages import help_text


async def page(request: Request, context: Context) -> Reply:
    return Reply(help_text().encode())
