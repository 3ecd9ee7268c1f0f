"""Any target gets an answer, and none of them changes anything by GET."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from master.admin.dispatch import MAX_PARAMETERS, answer, parse
from master.admin.page import BadRequest, Context
from master.admin.pages import PAGES
from master.stats.aggregate import Intervals
from shm.metrics import Metrics
from tests.kit.view import LiveView, live_view, one_cluster

PATHS = [page.path for page in PAGES if page.path != "/processes"]  # which samples for a while
NAMES = sorted({name for page in PAGES for name, _, _ in page.parameters})
LATIN = st.text(st.characters(max_codepoint=255), max_size=30)
QUERY = st.lists(st.tuples(st.sampled_from(NAMES) | LATIN, LATIN), max_size=5).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
TARGETS = st.builds("{}?{}".format, st.sampled_from(PATHS), QUERY) | LATIN


@settings(deadline=None)
@given(st.lists(TARGETS, min_size=1, max_size=20))
def test_any_target_gets_an_answer(targets: list[str]) -> None:
    async def ask_all() -> None:
        with live_view(one_cluster()) as view:
            view.stats.counter("cluster.back.external.upstream_rq_200").inc()
            view.stats.histogram("cluster.back.external.upstream_rq_time").record(5)
            for target in targets:
                reply = await answer("GET", target, Context(view, Intervals({})))
                assert reply.status in (200, 400, 404, 405)
                assert reply.finish is None
            assert view.orders == []

    trio.run(ask_all)


def test_a_page_that_fails_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(LiveView):
        def metrics(self) -> Metrics:
            raise OSError("the region is gone")

    async def ask() -> None:
        with live_view() as view:
            view.__class__ = Broken
            reply = await answer("GET", "/stats", Context(view, Intervals({})))
            assert reply.status == 500
            assert b"gone" not in reply.body

    trio.run(ask)
    assert "the region is gone" in caplog.text


@given(LATIN)
def test_the_path_ends_at_the_first_question_mark(text: str) -> None:
    assert parse("GET", text).path == text.partition("?")[0]


def test_parameters() -> None:
    query = parse("GET", "/stats?usedonly&filter=a%2Bb+c&filter=second&empty=").query
    assert query == {"usedonly": "", "filter": "a+b c", "empty": ""}
    with pytest.raises(BadRequest):
        parse("GET", "/?" + "&".join(["a=b"] * (MAX_PARAMETERS + 1)))
