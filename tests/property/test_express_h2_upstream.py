"""The express lane and the general path are one proxy towards HTTP/2 upstreams, too: `test_express`, with hosts that
speak HTTP/2, asked over HTTP/1 and over HTTP/2.

At the host, header blocks are compared as bytes. What a client of HTTP/2 is sent is compared decoded, as in
`test_express_h2`; and so are the chunks of HTTP/1, which are as many as the pieces that came.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.header_mutation import Mutation
from proxy.config.identity import Identity
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express import Lane
from proxy.filters.network.hcm_express_stream import StreamLane
from tests.property.express.h2_upstream import (
    CALLED,
    HELLO,
    SCRIPTS,
    TRAILERS,
    UNSIZED,
    Http2Origin,
    Reply,
    head,
    replied,
)
from tests.property.express.proxied import TLS, Outcome, one_answer, run
from tests.property.express.routings import (
    CONSTANT,
    CONSTANT_ROUTING,
    EDITS,
    HEADER_MUTATION,
    PLAIN_ROUTING,
    REWRITTEN,
    ROUTINGS,
    Routing,
)
from tests.property.express.traffic import GET, POST, TRACED, Step
from tests.property.test_express_h2 import Asking
from tests.unit.proxy.rig import Client, plugin, router


async def one_decoded(client: Client, request: bytes) -> bytes:
    """As `one_answer`; chunks are told by what they carry."""
    answer = await one_answer(client, request)
    fields, _, body = answer.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in fields:
        body = re.sub(rb"(?:\r\n)?[0-9a-f]+\r\n", b"", body)
    return fields + b"\r\n\r\n" + body


def serve(script: list[Step], path: Path, *, over_http2: bool, **options: Any) -> Outcome:
    outcome = run(script, path, ask=Asking() if over_http2 else one_decoded, host=Http2Origin, **options)
    for name in ("http.in.downstream_cx", "cluster.origin.upstream_cx"):
        for way in ("tx", "rx"):  # times, chunks, credit as data comes, and what comes when nobody asks any more
            outcome.words.pop(f"{name}_{way}_bytes_total", None)
    return outcome._replace(log=re.sub(r"sent\([^)]*\)", "sent", outcome.log))


def assert_same(script: list[Step], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    with_lane = serve(script, path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = serve(script, path / "without", lane=False, monkeypatch=monkeypatch, **options)
    for name, with_it, without_it in zip(Outcome._fields, with_lane, without, strict=True):
        if isinstance(with_it, dict):
            assert dict(with_it.items() - without_it.items()) == dict(without_it.items() - with_it.items()), name
        assert with_it == without_it, name


def of(*replies: Reply, request: bytes = GET) -> list[Step]:
    return [Step(request, HELLO), *[Step(request, reply) for reply in replies]]


OF_MANY_SIZES = [replied(b"a" * size, TRAILERS, "end") for size in range(1, 6)]
TOGETHER = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@TOGETHER
@given(script=SCRIPTS, remote=st.booleans(), suppress=st.booleans(), edits=EDITS, over_http2=st.booleans())
@example(script=of(*[HELLO] * 3), remote=True, suppress=False, edits=CONSTANT, over_http2=False)
@example(script=of(UNSIZED, CALLED, HELLO), remote=True, suppress=False, edits=(), over_http2=True)
@example(script=of(*[HELLO] * 2, request=POST), remote=False, suppress=True, edits=(), over_http2=False)
@example(script=of(CALLED, HELLO, CALLED, request=POST), remote=True, suppress=False, edits=(), over_http2=True)
@example(script=of(*OF_MANY_SIZES), remote=True, suppress=False, edits=(), over_http2=True)
@example(script=of(Reply((("goaway before",),))), remote=False, suppress=True, edits=(), over_http2=True)
def test_the_lane_changes_nothing(
    script: list[Step],
    remote: bool,
    suppress: bool,
    edits: tuple[Mutation, ...],
    over_http2: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation = plugin("m", HEADER_MUTATION, HeaderMutation.Config(request=edits, response=edits))
    assert_same(
        script,
        tmp_path,
        monkeypatch,
        over_http2=over_http2,
        identity=Identity(use_remote_address=remote),
        last=router(suppress_envoy_headers=suppress),
        filters=[mutation] if edits else [],
    )


@TOGETHER
@given(script=SCRIPTS, edits=EDITS, routing=ROUTINGS, over_http2=st.booleans())
@example(script=of(*[HELLO] * 2), edits=(), routing=CONSTANT_ROUTING, over_http2=False)
def test_the_lane_changes_nothing_of_what_routes_do(
    script: list[Step],
    edits: tuple[Mutation, ...],
    routing: Routing,
    over_http2: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edit = HeaderMutation.Config(request=edits, response=edits)
    filters = [plugin("m", HEADER_MUTATION, edit)]
    assert_same(script, tmp_path, monkeypatch, over_http2=over_http2, filters=filters, routing=routing)


@pytest.mark.parametrize("over_http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("routing", [PLAIN_ROUTING, CONSTANT_ROUTING, *REWRITTEN], ids=["plain", "set", "prefix", "re"])
def test_plain_requests_take_the_lane(
    over_http2: bool, routing: Routing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Step(GET.replace(b"/ ", b"/a?b "), HELLO)
    script = [*of(HELLO, HELLO), query, *[Step(step.request, HELLO) for step in TRACED]]
    script += of(replied("end", status=404), Reply(((head(content_length="9"), b"in "), (b"pieces", "end"))))
    script += of(HELLO, request=POST)
    script += of(UNSIZED, CALLED, *OF_MANY_SIZES) if over_http2 else []
    assert taken(script, tmp_path, monkeypatch, routing=routing, over_http2=over_http2) == len(script) - 1


@pytest.mark.parametrize("over_http2", [False, True], ids=["h1", "h2"])
def test_plain_requests_over_tls_take_the_lane(
    over_http2: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert taken(of(*[HELLO] * 4), tmp_path, monkeypatch, tls=TLS, over_http2=over_http2) == 4


def taken(script: list[Step], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> int:
    """How many requests of the script the lane serves; the first one has to open a connection."""
    count = 0

    def counting(respond: Any) -> Any:
        def counted(*arguments: Any) -> bool:
            nonlocal count
            count += (answered := respond(*arguments))
            return bool(answered)

        return counted

    for lane in (Lane, StreamLane):
        monkeypatch.setattr(lane, "_respond", counting(lane._respond))  # type: ignore[attr-defined]
    serve(script, path / "log", lane=True, monkeypatch=monkeypatch, **options)
    return count
