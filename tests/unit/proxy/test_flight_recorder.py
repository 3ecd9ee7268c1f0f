"""Records: which exchanges make one, what it holds, and that any of them fits its slot."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import flight_recorder
from proxy.errors import Flag
from proxy.flight_recorder import Record, RingRecorder, decode, encode, kind_of
from proxy.http.stream_info import Attempt, StreamInfo
from shm.ring import RingReader, RingWriter, create_ring

CAPACITY = 2032
texts = st.text(max_size=700)
records = st.builds(
    Record,
    when=st.floats(0, 2e9), kind=st.sampled_from(["failed", "slow"]), worker=st.integers(0, 60),
    request_id=texts, method=texts, authority=texts, path=texts, protocol=texts, downstream=texts, listener=texts,
    route=texts, virtual_host=texts, cluster=texts, upstream=texts, flags=texts, detail=texts, cause=texts,
    attempts=st.lists(
        st.builds(Attempt, host=texts, phase=st.sampled_from(["connect", "request", "response"]), error=texts,
                  seconds=st.floats(0, 1e6)),
        max_size=9,
    ).map(tuple),
    url=texts, peer=texts, headers=st.lists(st.text(max_size=60), max_size=4).map(tuple), reproducible=st.booleans(),
)  # fmt: skip


def ended(**facts: object) -> StreamInfo:
    info = StreamInfo(100.0)
    for name, value in {"ended": 100.1, "status": 200, "detail": "via_upstream", **facts}.items():
        setattr(info, name, value)
    return info


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({}, None),
        ({"status": 503}, None),  # the upstream's own
        ({"status": 404, "detail": "direct_response"}, None),
        ({"status": 500, "detail": "internal_error"}, "failed"),
        ({"status": 408, "detail": "request_overall_timeout"}, "failed"),
        ({"flags": {Flag.UPSTREAM_REQUEST_TIMEOUT}}, "failed"),
        ({"ended": 102.0, "response_begun": 100.5}, None),  # a long stream
        ({"ended": 102.0, "response_begun": 101.0}, "slow"),
        ({"ended": 101.0, "detail": "direct_response"}, "slow"),
    ],
)
def test_which_exchanges_are_recorded(facts: dict[str, object], kind: str | None) -> None:
    assert kind_of(ended(**facts), slow=1.0) == kind


@given(records)
def test_every_record_fits_its_slot_and_says_if_it_was_cut(record: Record) -> None:
    data = encode(record, CAPACITY)
    assert len(data) <= CAPACITY
    back = decode(data)
    assert (back.when, back.kind, back.worker) == (record.when, record.kind, record.worker)
    if not back.truncated:
        assert back == record


@given(records)
def test_even_a_small_slot_keeps_the_essence(record: Record) -> None:
    data = encode(record, 512)
    assert len(data) <= 512
    assert decode(data).kind == record.kind


def test_an_ordinary_record_is_not_cut() -> None:
    attempt = Attempt("[2001:db8::1]:8080", "connect", "remote connection failure: Connection refused", 0.25)
    record = Record(
        1.5, "failed", 3, request_id="6f6b3c1e-98f5-4ad4-a9dc-6f3c3d3cbb54", method="GET", authority="example.com:8080",
        path="/a/path?with=query", attempts=(attempt,) * 4, attempts_total=4, detail="response_timeout", flags="UT",
        limits={"RouteAction.timeout": 15.0},
    )  # fmt: skip
    assert decode(encode(record, CAPACITY)) == record


def test_of_many_attempts_the_first_and_the_last_are_kept() -> None:
    attempts = tuple(Attempt(str(n), "connect", "refused", 0.0) for n in range(9))
    record = decode(encode(Record(0.0, "failed", 0, attempts=attempts, attempts_total=9), CAPACITY))
    assert [attempt.host for attempt in record.attempts] == ["0", "6", "7", "8"]
    assert record.truncated
    assert record.attempts_total == 9


def test_of_a_traceback_the_end_is_kept() -> None:
    cause = "Traceback\n" + "  File …\n" * 500 + "ValueError: the reason"
    assert decode(encode(Record(0.0, "failed", 0, cause=cause), CAPACITY)).cause.endswith("ValueError: the reason")


def test_records_outlive_the_writer() -> None:
    fd = create_ring(slots=4, slot_bytes=2048)
    RingRecorder(RingWriter(fd), slow=1.0, worker=7).add(Record(1.0, "slow", 7, path="/p"))
    (found,) = RingReader(fd).read()
    assert decode(found.payload).path == "/p"
    os.close(fd)


@pytest.mark.parametrize(("data", "text"), [(b"caf\xc3\xa9", "café"), (b"\xff/", "\\xff/")])
def test_bytes_of_the_network_become_text(data: bytes, text: str) -> None:
    assert flight_recorder.text(data) == text
