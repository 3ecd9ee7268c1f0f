"""`POST /healthcheck/fail` and `/healthcheck/ok`: leave, and come back to, what balances load over this proxy."""

from __future__ import annotations

from master.admin.page import Context, Reply, Request


async def fail(request: Request, context: Context) -> Reply:
    await context.view.fail_health_check(True)
    return Reply(b"OK\n")


async def ok(request: Request, context: Context) -> Reply:
    await context.view.fail_health_check(False)
    return Reply(b"OK\n")
