"""One request of a scenario, in each of the ways in which the loads send it."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass

from bench.load import Address
from tests.kit import client
from tests.kit.h2_client import H2Client


class Way(enum.Enum):
    HTTP1 = "HTTP/1.1"
    TLS = "HTTP/1.1 over TLS"
    HTTP2 = "HTTP/2, prior knowledge"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


def trusting() -> ssl.SSLContext:
    """A context that takes any certificate: whom we talk to is no question here, and asking takes time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fields(request: bytes) -> list[tuple[str, str]]:
    """The head of a `request` without a body as HTTP/2 has it."""
    first, *lines = request.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    (authority,) = [value for name, value in headers if name == "host"]
    pseudo = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
    return [*pseudo, *(pair for pair in headers if pair[0] != "host")]


def fetch(address: Address, request: bytes, way: Way) -> Answer:
    """`request` is in HTTP/1.1; raises OSError, or AssertionError where it is not answered."""
    if way is Way.HTTP2:
        return _fetch_http2(address, request)
    with client.Connection(address, context=trusting() if way is Way.TLS else None) as connection:
        response = connection.request(request)
    return Answer(response.status, response.headers, response.body)


def _fetch_http2(address: Address, request: bytes) -> Answer:
    pseudo = {name[1:]: value for name, value in fields(request) if name.startswith(":")}
    others = [pair for pair in fields(request) if not pair[0].startswith(":")]
    with H2Client(address) as connection:
        response = connection.get(pseudo.pop("path"), *others, **pseudo)
    if not response.ended:
        raise AssertionError(f"the stream was reset with code {response.reset}")
    return Answer(response.status, response.headers, response.body)
