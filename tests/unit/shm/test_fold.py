import os
from collections.abc import Iterator

import pytest

from shm import memfd
from shm.fold import Base, create_base
from shm.metrics import Metrics, MetricsReader, MetricsWriter, create_region
from shm.words import ALIGN


@pytest.fixture
def base() -> Iterator[int]:
    fd = create_base()
    yield fd
    os.close(fd)


def region(serial: int, counters: dict[str, int], samples: tuple[int, ...] = ()) -> MetricsReader:
    fd = create_region(serial)
    writer = MetricsWriter(fd)
    for name, value in counters.items():
        writer.counter(name).inc(value)
    writer.gauge("active").set(serial)
    for value in samples:
        writer.histogram("time").record(value)
    return MetricsReader(fd)


def test_folding_changes_nothing_that_is_read(base: int) -> None:
    one, two, three = region(1, {"a": 1, "b": 2}, (5, 700)), region(2, {"b": 5}, (5,)), region(3, {"c": 8})
    folder = Base(base)
    expected = Metrics({"a": 1, "b": 7, "c": 8}, {"active": 6}, {"time": {5: 2, 160: 1}})
    assert folder.merged([one, two, three]) == expected
    folder.fold(one)
    expected.gauges = {"active": 5}  # the ended process has none
    assert folder.merged([one, two, three]) == expected
    assert folder.merged([two, three]) == expected
    folder.fold(two)
    folder.fold(three)
    assert folder.merged([]) == Metrics(expected.counters, {}, expected.histograms)


def test_a_serial_is_folded_once(base: int) -> None:
    ended = region(4, {"a": 3})
    Base(base).fold(ended)
    Base(base).fold(ended)
    assert Base(base).merged([ended]).counters == {"a": 3}


def test_another_process_sees_what_was_published(base: int) -> None:
    reader, folder = Base(base), Base(base)
    for serial in range(1, 20):
        folder.fold(region(serial, {f"name{serial}": serial}))
        assert reader.merged([]) == folder.merged([])


def test_the_file_stays_within_a_few_copies(base: int) -> None:
    folder = Base(base)
    for serial in range(1, 40):
        folder.fold(region(serial, {f"{number}.{'x' * 100}": 1 for number in range(serial * 50)}))
    copy = 40 * 50 * 110
    assert os.fstat(base).st_size < 4 * copy + 4 * ALIGN


def test_sums_wrap_at_64_bits(base: int) -> None:
    folder = Base(base)
    one, two = region(1, {"a": 2**64 - 1}), region(2, {"a": 3})
    assert folder.merged([one, two]).counters == {"a": 2}
    folder.fold(one)
    folder.fold(two)
    assert folder.merged([]).counters == {"a": 2}


def test_what_is_no_base_is_refused() -> None:
    for content in (b"", bytes(ALIGN)):
        fd = memfd.create("t", len(content))
        memfd.write_at(fd, content, 0)
        with pytest.raises(ValueError, match="base"):
            Base(fd)
        os.close(fd)


def test_damage_is_an_error_not_a_wrong_figure(base: int) -> None:
    Base(base).fold(region(1, {"a": 1}))
    memfd.write_at(base, b"[", ALIGN)
    with pytest.raises(ValueError, match="damaged"):
        Base(base)
