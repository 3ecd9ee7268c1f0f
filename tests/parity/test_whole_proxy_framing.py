"""Every request file of tests/corpus/http1 through the whole proxy and through the real Envoy.

Compared are the statuses that the client got and how many requests the origin saw: a difference is what request
smuggling is made of. Where ours refuses more, `test_h1_framing.py` says why.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.client import Address, Connection
from tests.kit.envoy import Envoy
from tests.kit.proxy import Proxy
from tests.parity.h1_origin import H1Origin
from tests.parity.test_h1_framing import STRICTER, files, name_of

QUIET = 0.05  # s without a byte: nothing more comes
PATIENCE = 1.5  # s, where the two differ at first
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")


class Seen(NamedTuple):
    """What the client got, and how many requests the origin did."""

    statuses: list[int]
    arrived: int


class Way:
    """One proxy and the origin behind it."""

    def __init__(self, address: Address, origin: H1Origin) -> None:
        self._address, self._origin = address, origin
        self.seen: dict[str, Seen] = {}

    def send(self, file: Path, patience: float) -> Seen:
        self._origin.arrived.clear()
        answer = b""
        with Connection(self._address) as connection, contextlib.suppress(TimeoutError, OSError):
            connection.send(file.read_bytes())
            connection.sock.settimeout(patience)
            while data := connection.sock.recv(65536):
                answer += data
        return Seen([int(status) for status in STATUS.findall(answer)], len(self._origin.arrived))

    def send_all(self) -> None:
        self.seen = {file.stem: self.send(file, QUIET) for file in files("request")}


class Ways(NamedTuple):
    envoy: Way
    ours: Way


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    with (
        H1Origin({}) as behind_envoy,
        H1Origin({}) as behind_ours,
        Envoy(one_cluster(behind_envoy.port)) as envoy,
        Proxy(one_cluster(behind_ours.port), concurrency=1) as ours,
    ):
        both = Ways(Way(envoy.address(), behind_envoy), Way(ours.address(), behind_ours))
        threads = [threading.Thread(target=way.send_all) for way in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        yield both


@pytest.mark.parity("rule 14", "rule 15", "rule 16", "rule 17", "rule 18")
@pytest.mark.parametrize("file", files("request"), ids=name_of)
def test_request(file: Path, ways: Ways) -> None:
    if not expected(name_of(file), *(way.seen[file.stem] for way in ways)):
        theirs, ours = (way.send(file, PATIENCE) for way in ways)
        assert expected(name_of(file), theirs, ours), (theirs, ours)


def expected(name: str, theirs: Seen, ours: Seen) -> bool:
    if name == "http2_preface":  # which a whole proxy takes for what it is
        return ours == theirs == Seen([], 0)
    if stricter := STRICTER.get(name):
        return stricter[1] in ours.statuses and ours.arrived <= theirs.arrived
    if name == "absolute_form_query_without_path":  # RFC 9112 section 3.2.2: the path is `/?q`
        return (theirs, ours) == (Seen([404], 0), Seen([200], 1))
    return ours == theirs
