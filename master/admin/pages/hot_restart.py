"""`/hot_restart`: how a hot restart goes on; `POST` begins one. Ours, not Envoy's."""

from __future__ import annotations

import math
import time

from master.admin import envoy_json
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.admin.view import RejectedError
from shm.processes import Role


async def page(request: Request, context: Context) -> Reply:
    """The status, and what the generations before still do."""
    view = context.view
    workers = [process for process in view.processes() if process.role == Role.WORKER]
    generations = sorted({process.generation for process in workers})
    known = {number: (state, ends_at) for number, state, ends_at in view.generations}
    return Reply(
        envoy_json.dump(
            {
                **view.restart_status,
                "leader": view.generation,
                "generations": [
                    {
                        "generation": generation,
                        **_life(*known.get(generation, ("", 0.0))),
                        "workers": sum(p.generation == generation for p in workers),
                        "connections": sum(p.connections for p in workers if p.generation == generation),
                        "requests_active": sum(p.requests_active for p in workers if p.generation == generation),
                    }
                    for generation in generations
                ],
            }
        ),
        JSON,
    )


def _life(state: str, ends_at: float) -> dict[str, object]:
    """`ends_in_s` is how long it may drain yet; null if it does not."""
    ends = state in ("draining", "ending")
    return {"state": state, "ends_in_s": round(max(0.0, ends_at - time.monotonic()), 1) if ends else None}


async def begin(request: Request, context: Context) -> Reply:
    try:
        await context.view.hot_restart(
            ready_timeout=_seconds(request, "ready_timeout"), canary=_seconds(request, "canary")
        )
    except RejectedError as error:
        return Reply(f"{error}\n".encode(), status=409)
    return Reply(b"OK\n")


def _seconds(request: Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:
        raise BadRequest("usage: /hot_restart/begin?ready_timeout=(seconds)&canary=(seconds), 3600 at most\n")
    return seconds
