"""Descriptors that are kept for those who are being served."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from proxy.net.descriptors import ceiling, scarce

LIMIT = 800


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_eighth_is_kept_of_few() -> None:
    assert ceiling() == LIMIT - LIMIT // 8


def test_they_are_scarce_exactly_above_the_ceiling() -> None:
    taken: list[int] = [os.open("/dev/null", os.O_RDONLY)]
    try:
        while taken[-1] < ceiling() - 1:
            assert not scarce(taken[0])
            taken.append(os.dup(taken[0]))
        assert scarce(taken[0])
        os.close(taken.pop())
        assert not scarce(taken[0])
        while True:
            taken.append(os.dup(taken[0]))
    except OSError:
        assert scarce(taken[0])  # not even one to ask with
    finally:
        for fd in taken:
            os.close(fd)
