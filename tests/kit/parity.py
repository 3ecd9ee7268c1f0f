"""The same bootstrap on the real Envoy and on our proxy, the same bytes to both, and what came back from each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from tests.kit import ledger
from tests.kit.client import Address, Connection, ConnectionEnded, Response
from tests.kit.envoy import Envoy
from tests.kit.proxy import FLUSH_SOON, Proxy

CLOSE_DEADLINE = 15.0  # s, for a close that the response announced
PROBE_DEADLINE = 5.0  # s, for the answer to the probe below
PROBE = b"GET /probe?body=0 HTTP/1.1\r\nHost: probe\r\n\r\n"
VOLATILE = ("x-request-id", "date", "x-envoy-upstream-service-time", "x-envoy-expected-rq-timeout-ms")


@dataclass
class Answer:
    """What a client saw: the responses in order, then what became of the connection.

    A response that does not announce the close is followed by a probe, one more request: `open` if it was answered,
    `silent` if it was not (taken for the rest of a body, for instance), `closed` with `rest` before the close.
    """

    responses: list[Response]
    end: Literal["open", "silent", "closed"] = "open"
    rest: bytes = b""

    @property
    def closed(self) -> bool:
        return self.end == "closed"

    @property
    def only(self) -> Response:
        (response,) = self.responses
        return response

    @property
    def status(self) -> int:
        return self.only.status

    @property
    def echo(self) -> dict[str, Any]:
        """What the echoing origin says that it received."""
        received: dict[str, Any] = json.loads(self.only.body)
        return received


class Answers(NamedTuple):
    """Both answers to the same bytes."""

    envoy: Answer
    ours: Answer

    def assert_same(self) -> None:
        """Equal for the client, and equal for the origin where it echoed."""
        assert for_client(self.ours) == for_client(self.envoy)
        echoed = [_echoed(answer) for answer in self]
        assert echoed[0] == echoed[1]
        if echoed[0]:
            assert for_origin(self.ours) == for_origin(self.envoy)


class Pair:
    """Envoy and our proxy on one bootstrap."""

    def __init__(self, envoy: Envoy, ours: Proxy) -> None:
        self.envoy, self.ours = envoy, ours

    def send(self, data: bytes, *, listener: str | None = None, responses: int = 1, then: bytes = b"") -> Answers:
        """Sends `data` to both, each on a new connection, and reads up to `responses` responses.

        `then` is sent after a first part of the response came: a 1xx, or the first response.
        """
        addresses = self.envoy.address(listener), self.ours.address(listener)
        return Answers(*(exchange(address, data, responses, then) for address in addresses))


@contextlib.contextmanager
def run_pair(
    bootstrap: str,
    *,
    concurrency: int = 1,
    arguments: tuple[str, ...] = (),
    otherwise: Mapping[str, str] = MappingProxyType({}),
    apart: str = "",
) -> Iterator[Pair]:
    """Both proxies on `bootstrap`, with `arguments` that both know; skips, with the reason, where there is no Envoy.

    In the end both have written the same access log and counted the same, but for the stats that a pattern of
    `otherwise` matches; its values are the reasons. `apart` is the reason why there is nothing to compare.
    """
    text = bootstrap if apart else ledger.recorded(bootstrap)
    with (
        Envoy(text, concurrency=concurrency, arguments=(*ledger.FLUSH, *arguments)) as envoy,
        Proxy(text, concurrency=concurrency, arguments=arguments, environment=FLUSH_SOON) as ours,
    ):
        yield Pair(envoy, ours)
        if not apart:
            ledger.assert_same(envoy, ours, otherwise)


def exchange(
    address: Address,
    data: bytes,
    expected: int = 1,
    then: bytes = b"",
    *,
    source: str | None = None,
    patience: float = PROBE_DEADLINE,
) -> Answer:
    """Sends `data` on a new connection and reads what comes, as `Pair.send` says. `source`: the client's IP address;
    `patience`: seconds for the probe's answer.
    """
    methods = [line.split(b" ", 1)[0].decode("latin-1") for line in data.split(b"\r\n") if b" HTTP/1." in line]
    found: list[Response] = []
    with Connection(address, source=source) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            connection.send(data)
            if then:
                connection.wait_readable()
                connection.send(then)
        try:
            while len(found) < expected:
                method = methods[len(found)] if len(found) < len(methods) else "GET"
                found.append(connection.receive(method=method))
        except ConnectionEnded as error:
            return Answer(found, "closed", error.partial)
        return _watch(connection, found, patience)


def _watch(connection: Connection, found: list[Response], patience: float) -> Answer:
    announced = "close" in found[-1].values("connection")
    connection.sock.settimeout(CLOSE_DEADLINE if announced else patience)
    try:
        if announced:
            return Answer(found, "closed", connection.rest())
        connection.send(PROBE)
        connection.receive()
    except TimeoutError:
        return Answer(found, "silent")
    except ConnectionEnded as error:
        return Answer(found, "closed", error.partial)
    except (BrokenPipeError, ConnectionResetError):
        return Answer(found, "closed")
    return Answer(found)


def _normalised(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, "*" if name.lower() in VOLATILE else value) for name, value in headers]


def _echoed(answer: Answer) -> bool:
    return len(answer.responses) == 1 and answer.only.body.startswith(b'{"origin"')


def for_client(answer: Answer) -> dict[str, Any]:
    """All of `answer` that a client can see, without the values that no two runs share."""

    def one(response: Response) -> dict[str, Any]:
        echoed = response.body.startswith(b'{"origin"')  # its length varies with connection numbers
        skipped = ("content-length",) if echoed else ()
        return {
            "line": (response.version, response.status, response.reason),
            "headers": [pair for pair in _normalised(response.headers) if pair[0] not in skipped],
            "body": "(echo)" if echoed else response.body,
            "trailers": response.trailers,
            "informational": [one(before) for before in response.informational],
        }

    return {"responses": [one(response) for response in answer.responses], "end": answer.end, "rest": answer.rest}


def for_origin(answer: Answer) -> dict[str, Any]:
    """All that the origin can see of the request, without the values that no two runs share."""
    echo = answer.echo
    del echo["connection"], echo["request"]
    return {**echo, "headers": _normalised([(name, value) for name, value in echo["headers"]])}
