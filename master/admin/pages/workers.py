"""`POST /workers?count=N`: another number of workers, without a dropped connection. Ours, not Envoy's."""

from __future__ import annotations

from master.admin.page import BadRequest, Context, Reply, Request
from master.admin.view import RejectedError

MAX_WORKERS = 254
"""Process slots less supervisor and controller."""


async def page(request: Request, context: Context) -> Reply:
    text = request.query.get("count", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_WORKERS):
        raise BadRequest(f"usage: /workers?count=(1 to {MAX_WORKERS})\n")
    try:
        await context.view.set_workers(int(text))
    except RejectedError as error:
        return Reply(f"{error}\n".encode(), status=409)
    return Reply(f"{text} workers\n".encode())
