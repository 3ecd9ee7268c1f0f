"""Responses without a body (to HEAD, 204, 304): the express lane and the general path say the same of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.header_mutation import Mutation
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express import Lane
from proxy.filters.network.hcm_express_hooks import HookedLane
from tests.property.express import hooks
from tests.property.express.proxied import assert_same, run
from tests.property.express.routings import HEADER_MUTATION
from tests.property.express.traffic import GET, PLAIN, Answer, Step
from tests.property.test_express_hooks import hook
from tests.unit.proxy.rig import plugin

HEAD = GET.replace(b"GET", b"HEAD")
FRAMING = (b"", b"content-length: 0\r\n", b"content-length: 7\r\n", b"transfer-encoding: chunked\r\n")


def bare(status: bytes, *lines: bytes) -> Answer:
    return Answer(
        (b"HTTP/1.1 %b\r\n%betag: x\r\n\r\n" % (status, b"".join(lines)),), closes=b"connection: close\r\n" in lines
    )


EMPTY = [
    *(bare(b"204 No Content", lines) for lines in FRAMING[:2]),
    *(bare(b"304 Not Modified", lines) for lines in FRAMING),
]
REFUSED = [bare(b"204 No Content", lines) for lines in FRAMING[2:]]
FULL = [
    bare(status, lines) for status in (b"200 OK", b"404 Not Found", b"503 Service Unavailable") for lines in FRAMING
]
ENDS = [*REFUSED, bare(b"304 Not Modified", b"connection: close\r\n"), bare(b"200 OK", b"connection: close\r\n")]
STEPS = st.one_of(
    st.builds(Step, st.just(HEAD), st.sampled_from([*EMPTY, *FULL, *ENDS])),
    st.builds(Step, st.just(GET), st.sampled_from([*EMPTY, PLAIN])),
)
EVERY = [*(Step(HEAD, answer) for answer in (*EMPTY, *FULL)), *(Step(GET, answer) for answer in EMPTY)]
EDITS = (Mutation(b"content-length", "REMOVE"), Mutation(b"etag", "OVERWRITE_IF_EXISTS", "y"))
CHAINS = {
    "plain": [],
    "edits": [plugin("m", HEADER_MUTATION, HeaderMutation.Config(response=EDITS[1:]))],
    "unlengthened": [plugin("m", HEADER_MUTATION, HeaderMutation.Config(response=EDITS))],
    "hooks": [hook(hooks.Stamp), hook(hooks.Told)],
    "refusing": [hook(hooks.Refuse)],
}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(STEPS, min_size=2, max_size=6), chain=st.sampled_from(sorted(CHAINS)))
@example(script=[*EVERY, *(Step(HEAD, answer) for answer in REFUSED)], chain="plain")
@example(script=EVERY, chain="unlengthened")
@example(script=EVERY, chain="hooks")
@example(script=EVERY, chain="refusing")
def test_the_lane_changes_nothing(
    script: list[Step], chain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"filters": CHAINS[chain]}
    with_lane = run(script, tmp_path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, tmp_path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)


@pytest.mark.parametrize(("chain", "lane"), [("plain", Lane), ("hooks", HookedLane)])
def test_they_take_the_lane(chain: str, lane: type[Lane], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    respond = lane._respond

    def counted(self: Lane, *arguments: Any) -> bool:
        nonlocal taken
        done = respond(self, *arguments)
        taken += done
        return done

    monkeypatch.setattr(lane, "_respond", counted)
    run(EVERY, tmp_path / "log", lane=True, monkeypatch=monkeypatch, filters=CHAINS[chain])
    assert taken == len(EVERY) - 1  # the first one has to open a connection
