"""`/config_dump`: the configuration as it was given, secrets blanked (`admin.v3.ConfigDump`)."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import trio
from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.admin import envoy_json, field_mask
from master.admin.config_dump import dumps, field_of_dump, redact, timestamp
from master.admin.endpoints_dump import Health, endpoints_dump
from master.admin.host_health import HostHealth
from master.admin.page import JSON, BadRequest, Context, NotFound, Reply, Request
from master.admin.parameters import compile_regex
from master.admin.view import ServerView
from proxy.config.bootstrap import CompiledConfig
from proxy.config.cluster import Endpoints


async def page(request: Request, context: Context) -> Reply:
    view = context.view
    health = await _health(view) if "include_eds" in request.query else {}
    reply = functools.partial(_reply, request.query, view.config, view.endpoints, health, view.configured_at)
    return await trio.to_thread.run_sync(reply, abandon_on_cancel=True)


async def _health(view: ServerView) -> Health:
    """Of all hosts. Not in a thread, since the table is not for several."""
    found: dict[int, str] = {}
    for cluster in view.config.clusters:
        endpoints, health = view.endpoints.clusters.get(cluster.name), HostHealth(cluster, view.hosts)
        for locality in endpoints.localities if endpoints is not None else ():
            found.update((host.slot, health.status(host)) for host in locality.hosts)
        await trio.lowlevel.checkpoint()
    return found


def _reply(
    query: Mapping[str, str], config: CompiledConfig, endpoints: Endpoints, health: Health, configured_at: float
) -> Reply:
    """In a thread: a large configuration takes a while."""
    keep = _by_name(query.get("name_regex", ""))
    bootstrap = redact(json.loads(config.source), bootstrap_pb2.Bootstrap.DESCRIPTOR)
    configs = dumps(bootstrap, timestamp(configured_at), keep, config.secrets)
    if "include_eds" in query:
        configs.insert(2, endpoints_dump(config.clusters, endpoints, health, keep))
    text = query.get("mask", "")
    mask = field_mask.parse(text)
    if resource := query.get("resource", ""):
        configs = _resource(configs, resource, mask, text)
    elif mask:
        configs = [field_mask.trim(config, mask) for config in configs if field_mask.applies(config, mask)]
        if not configs:
            raise BadRequest(f"FieldMask {text} could not be successfully applied to any configs.")
    return Reply(envoy_json.dump({"configs": configs} if configs else {}), JSON)


def _by_name(text: str) -> Callable[[str], bool]:
    """A predicate for `name_regex`, which must match the whole name."""
    if not text:
        return lambda name: True
    pattern = compile_regex(text, f"INVALID_ARGUMENT: Error while parsing name_regex from {text}: {{reason}}")
    return lambda name: pattern.fullmatch(name) is not None


def _resource(configs: list[dict[str, Any]], resource: str, mask: field_mask.Paths, text: str) -> list[dict[str, Any]]:
    """The elements of the list `resource`, whichever dump has it."""
    field = field_of_dump(resource)
    if field is None:
        raise NotFound(f"{resource} not found in config dump")
    if not field.is_repeated or field.message_type is None:
        raise BadRequest(f"{resource} is not a repeated field. Use ?mask={resource} to get only this field")
    url = f"type.googleapis.com/{field.message_type.full_name}"
    found = [{"@type": url, **element} for config in configs for element in config.get(resource, [])]
    if not all(field_mask.applies(element, mask) for element in found):
        raise BadRequest(f"FieldMask {text} could not be successfully used.")
    return [field_mask.trim(element, mask) for element in found] if mask else found
