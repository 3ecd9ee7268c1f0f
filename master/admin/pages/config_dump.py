"""`/config_dump`: the configuration as it was given, secrets blanked (`admin.v3.ConfigDump`)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.admin import envoy_json, field_mask
from master.admin.config_dump import ELEMENTS, dumps, element_type, redact
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.admin.parameters import compile_regex


async def page(request: Request, context: Context) -> Reply:
    query = request.query
    keep = _by_name(query.get("name_regex", ""))
    source = json.loads(context.view.config.source)
    bootstrap = redact(source, bootstrap_pb2.Bootstrap.DESCRIPTOR)
    configs = dumps(bootstrap, _timestamp(context.view.started_at), keep)
    mask = field_mask.parse(query.get("mask", ""))
    resource = query.get("resource", "")
    if resource:
        return _resource(configs, resource, mask)
    if mask:
        configs = _masked(configs, mask, query["mask"])
    return Reply(envoy_json.dump({"configs": configs}), JSON)


def _by_name(text: str) -> Callable[[str], bool]:
    """A predicate for `name_regex`, which must match the whole name."""
    if not text:
        return lambda name: True
    pattern = compile_regex(text, f"INVALID_ARGUMENT: Error while parsing name_regex from {text}: {{reason}}")
    return lambda name: pattern.fullmatch(name) is not None


def _masked(configs: list[dict[str, Any]], mask: field_mask.Paths, text: str) -> list[dict[str, Any]]:
    kept = [field_mask.trim(config, mask) for config in configs if field_mask.applies(config, mask)]
    if not kept:
        raise BadRequest(f"FieldMask {text} could not be successfully applied to any configs.")
    return kept


def _resource(configs: list[dict[str, Any]], resource: str, mask: field_mask.Paths) -> Reply:
    """The elements of the list `resource`, whichever dump has it."""
    if resource in ELEMENTS:
        found = [element for config in configs for element in config.get(resource, [])]
        elements = [field_mask.trim(element, mask) if mask else element for element in found]
        typed = [{"@type": element_type(resource), **element} for element in elements]
        return Reply(envoy_json.dump({"configs": typed}), JSON)
    if any(resource in config for config in configs):
        raise BadRequest(f"{resource} is not a repeated field. Use ?mask={resource} to get only this field")
    return Reply(f"{resource} not found in config dump".encode(), status=404)


def _timestamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
