"""From a request line to a reply: routing, methods, and errors as Envoy words them (features §13 rule 53)."""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl

import trio

from master.admin.page import BadRequest, Context, Reply, Request
from master.admin.pages import find, help_text, load

MAX_PARAMETERS = 32

log = logging.getLogger("admin")


def parse(method: str, target: str) -> Request:
    """The request of a method and an origin-form target (path and query). Raises `BadRequest`."""
    path, _, query = target.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"at most {MAX_PARAMETERS} parameters are allowed") from error
    # The first of several equal parameters counts.
    return Request(method, path, dict(reversed(pairs)), pairs)


async def answer(method: str, target: str, context: Context) -> Reply:
    """The reply to one request, whatever it asks."""
    try:
        request = parse(method, target)
        page = find(request.path)
        if page is None:
            return Reply(f"invalid path. {help_text()}".encode(), status=404)
        if page.mutates and method != "POST":
            return Reply(f"Method {method} not allowed, POST required.".encode(), status=405)
        # A page's module may bring in protobuf's descriptors: half a second that the loop must not be without.
        handler = await trio.to_thread.run_sync(load, page)
        return await handler(request, context)
    except BadRequest as error:
        return Reply(str(error).encode(), status=error.status)
    except Exception:
        log.exception("admin: %s %s failed", method, target)
        return Reply(b"internal error; the log has its traceback\n", status=500)
