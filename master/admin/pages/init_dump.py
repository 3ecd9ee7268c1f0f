"""`/init_dump`: what is not initialised yet. A static bootstrap has no such targets: discovery answers, or times out,
before the listeners open.
"""

from __future__ import annotations

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request


async def page(request: Request, context: Context) -> Reply:
    return Reply(envoy_json.dump({}), JSON)
