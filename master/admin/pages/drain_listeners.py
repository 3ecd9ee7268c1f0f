"""`POST /drain_listeners`: connections leave, and the listeners close: at once, or gracefully after the drain time.

`listener=` and `undo` are ours.
"""

from __future__ import annotations

from master.admin.page import BadRequest, Context, NotFound, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    query, view = request.query, context.view
    names = [
        listener.name
        for listener in view.config.listeners
        if ("inboundonly" not in query or listener.traffic_direction == "INBOUND")
        and query.get("listener", listener.name) == listener.name
    ]
    if "listener" in query and not names:
        known = ", ".join(listener.name for listener in view.config.listeners)
        raise NotFound(f"no such listener: {query['listener']}; there are: {known}\n")
    if "undo" in query:
        if "graceful" in query or "skip_exit" in query:
            raise BadRequest("undo stands alone: it takes back what was asked for before\n")
        await view.undo_drain(names)
    else:
        await view.drain_listeners(names, graceful="graceful" in query, close="skip_exit" not in query)
    return Reply(b"OK\n")
