"""`/ready`: for load balancers and orchestrators."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    state = context.view.state
    return Reply(f"{state}\n".encode(), status=200 if state == "LIVE" else 503)
