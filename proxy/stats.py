"""Stat handles as the data plane sees them. `shm.metrics` implements them over shared memory; tests use `MemoryStats`.

Names are resolved when configuration is applied, never per request.
"""

from __future__ import annotations

from typing import Protocol


class Counter(Protocol):
    def inc(self, amount: int = 1) -> None: ...


class Gauge(Protocol):
    def add(self, amount: int) -> None: ...
    def set(self, value: int) -> None: ...


class Histogram(Protocol):
    def record(self, value: int) -> None:
        """`value` ≥ 0, an integer in the stat's unit (milliseconds unless its name says otherwise)."""
        ...


class Stats(Protocol):
    """Finds or creates a stat by its full Envoy name. The same name gives the same stat."""

    def counter(self, name: str) -> Counter: ...
    def gauge(self, name: str) -> Gauge: ...
    def histogram(self, name: str) -> Histogram: ...


class _Word:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount

    add = inc

    def set(self, value: int) -> None:
        self.value = value


class _Samples:
    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: list[int] = []

    def record(self, value: int) -> None:
        self.values.append(value)


class MemoryStats:
    """Stats in plain memory: for tests, and for code that runs without shared memory."""

    def __init__(self) -> None:
        self.words: dict[str, _Word] = {}
        self.samples: dict[str, _Samples] = {}

    def counter(self, name: str) -> Counter:
        return self.words.setdefault(name, _Word())

    def gauge(self, name: str) -> Gauge:
        return self.words.setdefault(name, _Word())

    def histogram(self, name: str) -> Histogram:
        return self.samples.setdefault(name, _Samples())

    def value(self, name: str) -> int:
        """The current value of a counter or gauge; 0 if nobody asked for it yet."""
        word = self.words.get(name)
        return word.value if word else 0
