"""`/server_info`: `admin.v3.ServerInfo` as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from master.admin import envoy_json
from master.admin.page import JSON, Context, Reply, Request
from master.version import build_version, version
from proxy.config.bootstrap import Node

REDACTED = "[redacted]"

_OPTIONS: Mapping[str, Any] = {
    "base_id": "0",
    "concurrency": 0,
    "config_path": "",
    "config_yaml": "",
    "admin_address_path": "",
    "log_level": "info",
    "drain_time": "600s",
    "mode": "Serve",
    "restart_epoch": 0,
    "drain_strategy": "Gradual",
}
"""`admin.v3.CommandLineOptions`: the fields that mean something here, with Envoy's defaults."""


async def page(request: Request, context: Context) -> Reply:
    view = context.view
    uptime = f"{max(0, int(time.time() - view.started_at))}s"
    info = {
        "version": build_version(),
        "state": view.state,
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": "disabled",
        "command_line_options": _options(view.options),
        "node": _node(view.config.node),
        "hot_restart_initializing": False,
    }
    return Reply(envoy_json.dump(info), JSON)


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Ours over Envoy's defaults. The text of `--config-yaml` may hold secrets, so only its presence is told."""
    given = {name: _duration(name, value) for name, value in options.items() if value is not None}
    shown = {**_OPTIONS, **given}
    if shown["config_yaml"]:
        shown["config_yaml"] = REDACTED
    return shown


def _duration(name: str, value: Any) -> Any:
    """Seconds as protobuf JSON writes durations."""
    return f"{value:g}s" if name.endswith("_time") and isinstance(value, int | float) else value


def _node(node: Node) -> dict[str, Any]:
    locality = {"region": node.region, "zone": node.zone, "sub_zone": node.sub_zone}
    return {
        "id": node.id,
        "cluster": node.cluster,
        **({"locality": locality} if any(locality.values()) else {}),
        "user_agent_name": "trireme",
        "user_agent_version": version(),
        "extensions": [],
        "client_features": [],
        "listening_addresses": [],
        "dynamic_parameters": {},
    }
