import os
from collections.abc import Iterator

import pytest

from shm import layout, memfd
from shm.metrics import MetricsReader, MetricsWriter, RegionError, create_region, zero_gauges
from shm.words import ALIGN


@pytest.fixture
def region() -> Iterator[int]:
    fd = create_region(7)
    yield fd
    os.close(fd)


def test_values_are_read_by_name(region: int) -> None:
    writer, reader = MetricsWriter(region), MetricsReader(region)
    assert reader.serial == 7
    assert reader.read().counters == {}
    writer.counter("a.b").inc()
    writer.counter("a.b").inc(4)
    writer.gauge("g").add(-3)
    writer.gauge("same name").set(9)
    writer.counter("same name").inc(2)
    for value in (0, 5, 5, 99, 100, 12_345):
        writer.histogram("h").record(value)
    writer.histogram("empty")
    metrics = reader.read()
    assert metrics.counters == {"a.b": 5, "same name": 2}
    assert metrics.gauges == {"g": -3, "same name": 9}
    assert metrics.histograms == {"h": {0: 1, 5: 2, 99: 1, 100: 1, 282: 1}, "empty": {}}


def test_a_name_gives_one_handle(region: int) -> None:
    writer = MetricsWriter(region)
    assert writer.counter("x") is writer.counter("x")
    assert writer.gauge("x") is writer.gauge("x")
    assert writer.histogram("x") is writer.histogram("x")


def test_a_successor_goes_on(region: int) -> None:
    first = MetricsWriter(region)
    first.counter("c").inc(5)
    first.gauge("g").add(2)
    first.histogram("h").record(512)
    zero_gauges(region)
    second = MetricsWriter(region)
    second.counter("new").inc()
    second.counter("c").inc()
    second.gauge("g").add(1)
    second.histogram("h").record(512)
    metrics = MetricsReader(region).read()
    assert metrics.counters == {"c": 6, "new": 1}
    assert metrics.gauges == {"g": 1}
    assert metrics.histograms == {"h": {141: 2}}


def test_values_wrap_at_64_bits(region: int) -> None:
    writer, reader = MetricsWriter(region), MetricsReader(region)
    writer.counter("c").inc(2**64 - 1)
    writer.counter("c").inc(6)
    writer.gauge("g").set(2**63 - 1)
    writer.gauge("g").add(1)
    metrics = reader.read()
    assert metrics.counters == {"c": 5}
    assert metrics.gauges == {"g": -(2**63)}


def test_a_counter_does_not_fall_below_zero(region: int) -> None:
    counter = MetricsWriter(region).counter("c")
    with pytest.raises(ValueError, match="format 'Q'"):
        counter.inc(-1)


def test_negative_samples_are_refused(region: int) -> None:
    with pytest.raises(ValueError, match="-5"):
        MetricsWriter(region).histogram("h").record(-5)


def test_long_names_are_stored_whole_or_refused(region: int) -> None:
    writer = MetricsWriter(region)
    names = [f"cluster.{'ü' * (layout.MAX_NAME_BYTES // 2 - 20)}.{number}" for number in range(20)]
    for name in names:
        writer.counter(name).inc()
    assert MetricsReader(region).read().counters == dict.fromkeys(names, 1)
    with pytest.raises(ValueError, match="has 16385 bytes"):
        writer.counter("x" * (layout.MAX_NAME_BYTES + 1))
    assert len(MetricsReader(region).read().counters) == 20


def test_growth_is_seen_by_readers_and_successors(region: int) -> None:
    writer, reader = MetricsWriter(region), MetricsReader(region)
    expected: dict[str, int] = {}
    for number in range(20_000):  # several chunks of names and of counters
        name = f"cluster.service-{number}.upstream_rq_total"
        writer.counter(name).inc(number)
        expected[name] = number
        if number % 4_000 == 0:
            assert reader.read().counters == expected
    assert reader.read().counters == expected
    for number in range(2_000):
        writer.histogram(f"h{number}").record(number * number)
    assert len(reader.read().histograms) == 2_000
    successor = MetricsWriter(region)
    successor.counter("cluster.service-7.upstream_rq_total").inc()
    assert reader.read().counters == expected | {"cluster.service-7.upstream_rq_total": 8}
    assert MetricsReader(region).read() == reader.read()


def test_gauges_are_zeroed_wherever_they_are(region: int) -> None:
    writer, reader = MetricsWriter(region), MetricsReader(region)
    for number in range(20_000):
        writer.gauge(f"g{number}").set(-number)
    writer.counter("c").inc(3)
    writer.histogram("h").record(1)
    zero_gauges(region)
    metrics = reader.read()
    assert len(metrics.gauges) == 20_000
    assert set(metrics.gauges.values()) == {0}
    assert metrics.counters == {"c": 3}
    assert metrics.histograms == {"h": {1: 1}}


def test_a_full_directory_is_an_error_and_nothing_is_lost(region: int) -> None:
    writer = MetricsWriter(region)
    counter = writer.counter("first")
    memfd.write_at(region, layout.MAX_CHUNKS.to_bytes(8, "little"), layout.H_CHUNKS * 8)
    crowded = MetricsWriter(region)
    with pytest.raises(RegionError, match="full"):
        crowded.gauge("g")
    counter.inc()
    assert MetricsReader(region).read().counters == {"first": 1}


@pytest.mark.parametrize("content", [b"", bytes(ALIGN), b"\xff" * ALIGN])
def test_other_files_are_refused(content: bytes) -> None:
    fd = memfd.create("t", len(content))
    memfd.write_at(fd, content, 0)
    with pytest.raises(RegionError):
        MetricsReader(fd)
    os.close(fd)


@pytest.mark.parametrize("serial", [0, -1, 2**64])
def test_serials_are_one_word(serial: int) -> None:
    with pytest.raises(ValueError, match="serial"):
        create_region(serial)
