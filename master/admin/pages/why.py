"""`/why`: the last failed and slow requests of all workers, each with what it means. Ours, not Envoy's."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
import trio

from master.admin import envoy_json
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.explain import failures, reproduce
from master.explain.failures import Cursor
from master.explain.story import tell
from proxy.flight_recorder import Record
from shm.ring import RingReader

DEFAULT_LIMIT = 20
MAX_LIMIT = 10_000


async def page(request: Request, context: Context) -> Reply:
    query = request.query
    limit = _number(query, "limit", DEFAULT_LIMIT)
    after = _cursor(query.get("after", ""))
    work = functools.partial(_reply, context.view.rings, after, query.get("id", ""), query.get("flag", ""), limit)
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def _reply(rings: Mapping[int, RingReader], after: Cursor, request_id: str, flag: str, limit: int) -> Reply:
    found = failures.read(rings, after)
    chosen = [record for record in found.records if _is_wanted(record, request_id, flag)][:limit]
    cursor = ",".join(f"{slot}:{sequence}" for slot, sequence in found.cursor.items())
    return Reply(envoy_json.dump({"failures": [_as_json(record) for record in chosen], "cursor": cursor}), JSON)


def _is_wanted(record: Record, request_id: str, flag: str) -> bool:
    """`request_id` may be its beginning; `flag` is one of the record's, or `slow`."""
    if request_id and not record.request_id.startswith(request_id):
        return False
    return not flag or flag in record.flags.split(",") or flag == record.kind


def _as_json(record: Record) -> dict[str, Any]:
    story = tell(record)
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    fields["attempts"] = [attempt._asdict() for attempt in record.attempts]
    words: dict[str, Any] = {
        "what": story.what,
        "fault": story.fault,
        "decided": list(story.decided),
        "next": story.look,
        "explain": reproduce.command(record),
    }
    whole: dict[str, Any] = msgspec.to_builtins({**fields, "words": words})
    return whole


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MAX_LIMIT):
        raise BadRequest(f"usage: /why?{name}=(1 to {MAX_LIMIT})\n")
    return int(text)


def _cursor(text: str) -> Cursor:
    """`3:17,4:9`, as a reply gave it."""
    cursor: Cursor = {}
    for part in text.split(",") if text else []:
        slot, _, sequence = part.partition(":")
        if not (slot.isascii() and slot.isdigit() and sequence.isascii() and sequence.isdigit() and len(part) < 32):
            raise BadRequest("usage: /why?after=(the cursor of an earlier reply)\n")
        cursor[int(slot)] = int(sequence)
    return cursor
