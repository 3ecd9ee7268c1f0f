"""`/sessions`: the oldest downstream connections of all workers, and what each waits for. Ours, not Envoy's."""

from __future__ import annotations

import math

from master.admin import envoy_json
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from proxy.sessions import MAX_SESSIONS

_USAGE = f"usage: /sessions?older=(seconds)&listener=(name)&generation=(number)&limit=(1 to {MAX_SESSIONS})\n"


async def page(request: Request, context: Context) -> Reply:
    """`total` counts all that match, `silent` are workers that did not answer in time."""
    query = request.query
    older, limit = _number(query.get("older", "0")), _number(query.get("limit", str(MAX_SESSIONS)))
    if not 1 <= limit <= MAX_SESSIONS:
        raise BadRequest(_USAGE)
    generation = int(_number(query["generation"])) if "generation" in query else None
    listener = query.get("listener", "")
    found = await context.view.sessions(older=older, listener=listener, limit=int(limit), generation=generation)
    silent = [{"worker": each.worker, "generation": each.generation, "pid": each.pid} for each in found.silent]
    return Reply(envoy_json.dump({"total": found.total, "sessions": found.sessions, "silent": silent}), JSON)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise BadRequest(_USAGE)
    return value
