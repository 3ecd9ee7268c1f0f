"""What a worker answers about its connections: always one message that the channel takes."""

from __future__ import annotations

from typing import Any

from proxy.sessions import MAX_SESSIONS, MAX_TEXT, Question
from shm import channel
from workers.holders import answer, held


class Crowd:
    """A server whose connections have the longest of everything, in characters that JSON needs most bytes for."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked = Question()

    def sessions(self, question: Question) -> tuple[int, list[dict[str, Any]]]:
        self.asked = question
        wide = "\N{GRINNING FACE}" * MAX_TEXT
        texts = dict.fromkeys(("peer", "listener", "request", "route", "cluster", "upstream"), wide)
        one = {"id": 1, "age": 1.0, "since": 1.0, "kind": "request", "waits_for": "it", **texts}
        return self.total, [one] * min(self.total, question.limit)


def test_the_answer_always_fits_into_a_message() -> None:
    told = answer(Crowd(100_000), {"type": "sessions", "request": 7})  # type: ignore[arg-type]
    assert (told["request"], told["total"]) == (7, 100_000)
    assert 0 < len(told["sessions"]) < MAX_SESSIONS
    assert len(channel.encode({**told, "pid": 1 << 22, "generation": 1 << 30, "index": 1000})) <= channel.MAX_MESSAGE


def test_the_question_is_bounded_whatever_is_asked() -> None:
    crowd = Crowd(1)
    answer(crowd, {"request": 1, "older": 3, "listener": "l", "limit": 1 << 40})  # type: ignore[arg-type]
    assert crowd.asked == Question(3.0, "l", MAX_SESSIONS)


def test_the_log_names_a_few_and_counts_the_rest() -> None:
    assert held(Crowd(1)).startswith("1 connection(s): ")  # type: ignore[arg-type]
    assert held(Crowd(9)).endswith("; and 6 more")  # type: ignore[arg-type]
