import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm import layout
from shm.layout import ChunkKind, Record, StatKind
from shm.words import ALIGN

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@given(st.sampled_from(StatKind), st.integers(0, 255), names, st.integers(0, 63), st.integers(0, 2**32 - 1))
def test_records_come_back(kind: StatKind, block: int, name: str, chunk: int, word: int) -> None:
    data = layout.pack_record(kind, block, layout.encode_name(name), chunk, word)
    assert len(data) == layout.record_bytes(len(name.encode()))
    assert len(data) % 8 == 0
    area = memoryview(bytes(16) + data + b"\xff" * 64)
    assert layout.parse_record(area, 16, len(area)) == (16 + len(data), Record(kind, block, name, chunk, word))


@given(names, st.data())
def test_a_record_with_a_changed_byte_is_not_believed(name: str, data: st.DataObject) -> None:
    intact = layout.pack_record(StatKind.COUNTER, 0, layout.encode_name(name), 1, 2)
    at = data.draw(st.integers(0, layout.RECORD.size + len(name.encode()) - 1))
    damaged = bytearray(intact)
    damaged[at] ^= data.draw(st.integers(1, 255))
    following, record = layout.parse_record(memoryview(bytes(damaged)), 0, len(damaged))
    assert record is None
    assert 0 < following <= len(damaged)


@given(names, st.data())
def test_a_record_that_is_cut_off_ends_the_chunk(name: str, data: st.DataObject) -> None:
    record = layout.pack_record(StatKind.COUNTER, 0, layout.encode_name(name), 1, 2)
    end = data.draw(st.integers(0, len(record) - 1))
    assert layout.parse_record(memoryview(record), 0, end) == (end, None)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_parsed_without_error(data: bytes, at: int) -> None:
    at = min(at, len(data))
    following, _ = layout.parse_record(memoryview(data), at, len(data))
    assert at < following <= len(data) or at == following == len(data)


@pytest.mark.parametrize("name", ["", "x" * (layout.MAX_NAME_BYTES + 1), "é" * layout.MAX_NAME_BYTES])
def test_names_are_bounded(name: str) -> None:
    with pytest.raises(ValueError, match="allowed are 1 to 16384"):
        layout.encode_name(name)


def test_directory_entries_are_believed_only_inside_the_file() -> None:
    size = 4 * ALIGN
    assert layout.parse_entry(2, ALIGN, 3 * ALIGN, size) == (ChunkKind.COUNTERS, ALIGN, 3 * ALIGN)
    for kind, offset, length in [
        (0, ALIGN, ALIGN),
        (5, ALIGN, ALIGN),
        (2, 0, ALIGN),  # the header
        (2, ALIGN, 4 * ALIGN),
        (2, ALIGN + 8, ALIGN),
        (2, ALIGN, 0),
        (2, ALIGN, ALIGN - 8),
        (2, 2**64 - ALIGN, ALIGN),
    ]:
        assert layout.parse_entry(kind, offset, length, size) is None
    assert layout.parse_entry(2, ALIGN, layout.MAX_CHUNK_BYTES + ALIGN, 2**40) is None
