"""`/reload`: how a reload of the configuration goes on, or went; `POST` begins one. Ours, not Envoy's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from master.admin import envoy_json
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.admin.view import RejectedError, ServerView


async def page(request: Request, context: Context) -> Reply:
    """The status. Each listener whose connections would drain comes with their number."""
    view = context.view
    status = dict(view.reload_status)
    if not status:
        return Reply(b"the controller has just started; ask again\n", status=503)
    gauges = view.metrics().gauges
    status["changes"] = [_with_connections(change, view, gauges) for change in status["changes"]]
    return Reply(envoy_json.dump(status), JSON)


def _with_connections(change: Mapping[str, Any], view: ServerView, gauges: Mapping[str, int]) -> dict[str, Any]:
    described = {name: change[name] for name in ("kind", "name", "how")}
    prefixes = [each.stat_prefix for each in view.config.listeners if each.name == change["name"]]
    if change["kind"] == "listener" and change["how"] in ("removed", "drains") and prefixes:
        described["connections"] = gauges.get(f"listener.{prefixes[0]}.downstream_cx_active", 0)
    return described


async def begin(request: Request, context: Context) -> Reply:
    return await _ask(context, why="reload", show="show" in request.query, version=None)


async def rollback(request: Request, context: Context) -> Reply:
    text = request.query.get("version", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest("usage: /reload/rollback?version=(number)\n")
    return await _ask(context, why="rollback", show="show" in request.query, version=int(text))


async def _ask(context: Context, *, why: str, show: bool, version: int | None) -> Reply:
    try:
        await context.view.reload(why=why, show=show, version=version)
    except RejectedError as error:
        return Reply(f"{error}\n".encode(), status=409)
    return Reply(b"OK\n")
