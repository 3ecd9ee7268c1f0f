"""`POST /drain_listeners`: refuse new connections at once; those that are open stay."""

from __future__ import annotations

from master.admin.page import BadRequest, Context, Reply, Request


class NotImplementedYet(BadRequest):
    """501: Envoy has it, we do not."""

    status = 501


async def page(request: Request, context: Context) -> Reply:
    for name in ("graceful", "skip_exit"):
        if name in request.query:
            raise NotImplementedYet(
                f"{name} is not implemented: without it, /drain_listeners closes the listeners at once and keeps open "
                "connections; /healthcheck/fail ends each connection with its next response\n"
            )
    # No listener can have a traffic_direction yet, so none is an inbound one.
    if "inboundonly" not in request.query:
        await context.view.close_listeners()
    return Reply(b"OK\n")
