"""What is told of connections, and of what they wait for."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions import MAX_TEXT, Question, Session, words
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import GET, Rig, compiled, serving, until
from tests.unit.upstream.rig import OK, answering, origin, read_head, silent

POST = b"POST /path?q HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12"


def one(rig: Rig) -> Session:
    total, (session,) = rig.server.sessions(Question())
    assert total == 1
    return session


@run_trio
async def test_each_kind_of_waiting_has_its_words() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig:
        async with await rig.connect() as client:
            await until(lambda: rig.server.connections == 1)
            session = one(rig)
            peer = "{}:{}".format(*client.stream.socket.getsockname())
            assert (session["kind"], session["peer"], session["listener"]) == ("idle", peer, "l")
            assert session["waits_for"] == "the client's next request"
            await client.send(GET[:-2])
            await until(lambda: one(rig)["kind"] == "request")
            await until(lambda: one(rig)["waits_for"] == "the rest of the request's head")
            await client.send(GET[-2:])
            await until(lambda: one(rig)["waits_for"] == "the upstream's response")
            session = one(rig)
            assert (session["request"], session["cluster"]) == ("GET /", "origin")
            assert session["upstream"] == str(upstream.address)
            assert 0 <= session["since"] <= session["age"]
        await rig.quiet()
        assert rig.server.sessions(Question()) == (0, [])


@run_trio
async def test_a_request_body_and_a_response_body_that_do_not_end() -> None:
    async def half(stream: object) -> None:
        await read_head(stream)  # type: ignore[arg-type]
        await stream.send_all(OK[:-1])  # type: ignore[attr-defined]
        await silent(stream)  # type: ignore[arg-type]

    async with origin(half) as upstream, serving(compiled(upstream.address)) as rig:
        async with await rig.connect() as client:
            await client.send(GET)
            await until(lambda: bool(rig.server.sessions(Question())[1]))
            await until(lambda: one(rig)["waits_for"] == "the rest of the response")
        await rig.quiet()
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig, await rig.connect() as client:
        await client.send(POST)
        await until(lambda: bool(rig.server.sessions(Question())[1]))
        await until(lambda: one(rig)["waits_for"] == "the rest of the request's body")
        assert one(rig)["request"] == "POST /path?q"


@run_trio
async def test_the_oldest_come_first_and_the_question_chooses() -> None:
    async with origin(answering(OK)) as upstream, serving(compiled(upstream.address)) as rig:
        clients = [await rig.connect() for _ in range(3)]
        await until(lambda: rig.server.connections == 3)
        total, sessions = rig.server.sessions(Question(limit=2))
        assert total == 3
        first = [client.stream.socket.getsockname()[1] for client in clients[:2]]
        assert [int(session["peer"].rpartition(":")[2]) for session in sessions] == first
        assert sessions[0]["age"] >= sessions[1]["age"]
        assert rig.server.sessions(Question(listener="other")) == (0, [])
        assert rig.server.sessions(Question(older=3600)) == (0, [])
        assert rig.server.sessions(Question(older=0, listener="l"))[0] == 3


@run_trio
async def test_nothing_in_a_request_reaches_a_terminal_or_the_log_as_it_is() -> None:
    async with origin(silent) as upstream, serving(compiled(upstream.address)) as rig, await rig.connect() as client:
        path = "/" + "é\x85" * 200
        await client.send(b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        await until(lambda: bool(rig.server.sessions(Question())[1]) or bool(rig.records))
        for session in rig.server.sessions(Question())[1]:
            assert len(session["request"]) <= MAX_TEXT
            assert session["request"].isprintable()


@given(st.dictionaries(st.sampled_from([*Session.__annotations__]), st.just("x"), max_size=4))
def test_words_need_no_member_of_another_release(session: dict[str, str]) -> None:
    for number in ("age", "since", "id"):
        session.pop(number, None)
    assert "waits for" in words(json.loads(json.dumps(session)))
