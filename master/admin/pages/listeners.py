"""`/listeners`: the addresses that are really bound (port 0 resolved)."""

from __future__ import annotations

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    listeners = context.view.listeners
    if request.query.get("format") == "json":
        return Reply(
            envoy_json.dump({"listener_statuses": [_status(name, list(bound)) for name, bound in listeners]}), JSON
        )
    # One line per address: additional addresses repeat the name, as in Envoy.
    return Reply("".join(f"{name}::{address}\n" for name, bound in listeners for address in bound).encode())


def _status(name: str, bound: list[str]) -> dict[str, object]:
    status: dict[str, object] = {"name": name}
    if bound:
        status["local_address"] = envoy_json.address(bound[0])
    if len(bound) > 1:
        status["additional_local_addresses"] = [envoy_json.address(other) for other in bound[1:]]
    return status
