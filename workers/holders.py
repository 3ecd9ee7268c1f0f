"""What a worker tells of its connections: to whoever asks, and to the log while it drains."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import trio

from proxy.server import Server
from proxy.sessions import MAX_SESSIONS, Question, words

log = logging.getLogger("worker")

MAX_ANSWER = 48 * 1024  # bytes; the supervisor adds a few and passes it on in one message
LOG_INTERVAL = 30.0  # seconds
NAMED = 3  # holders in a line of the log


def answer(server: Server, message: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a "sessions" message: how many connections there are, and the oldest of them."""
    limit = min(int(message.get("limit", MAX_SESSIONS)), MAX_SESSIONS)
    question = Question(float(message.get("older", 0.0)), str(message.get("listener", "")), limit)
    total, sessions = server.sessions(question)
    while len(json.dumps(sessions)) > MAX_ANSWER:
        sessions = sessions[: len(sessions) // 2]
    return {"type": "sessions", "request": message["request"], "total": total, "sessions": sessions}


def held(server: Server) -> str:
    """Who holds a drain, in one line."""
    total, sessions = server.sessions(Question(limit=NAMED))
    more = f"; and {total - len(sessions)} more" if total > len(sessions) else ""
    return f"{total} connection(s): " + "; ".join(words(session) for session in sessions) + more


async def log_holders(server: Server, deadline: float) -> None:
    """Say every now and then what a drain of `deadline` seconds waits for, for ever."""
    end = trio.current_time() + deadline
    while True:
        await trio.sleep(LOG_INTERVAL)
        if server.connections:
            left = max(0.0, end - trio.current_time())
            log.info("draining, for %.0f s at most; held by %s", left, held(server))
