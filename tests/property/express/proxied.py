"""A script of requests and answers through a proxy of its own, and all that is to be seen of it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import pytest
import trio

from proxy.config.access_log import AccessLog
from proxy.config.bootstrap import CompiledConfig
from proxy.config.common import SocketAddress
from proxy.config.lb import LoadBalancing
from proxy.config.tls import Certificate, DownstreamTls
from proxy.filters.network import hcm_express
from tests.integration.tls.terminating import authority
from tests.property.express.routings import HASHED, PLAIN_ROUTING, Routing
from tests.property.express.traffic import Answer, Step, sized
from tests.unit.proxy.rig import Client, Rig, compiled, plugin, route, serving

FORMAT = (
    "%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
    "%BYTES_RECEIVED% %BYTES_SENT% %REQ(X-REQUEST-ID)% %REQ(X-FORWARDED-FOR)% %REQ(USER-AGENT)% %RESP(SERVER)% "
    "%RESP(CONTENT-TYPE)% %UPSTREAM_CLUSTER% %ROUTE_NAME% %UPSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED% "
    "%UPSTREAM_REQUEST_ATTEMPT_COUNT% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %ACCESS_LOG_TYPE% "
    "%REQUEST_HEADERS_BYTES% %UPSTREAM_PROTOCOL% %UPSTREAM_HOST% %PATH(NQ)% %DOWNSTREAM_WIRE_BYTES_RECEIVED% "
    "sent(%DOWNSTREAM_WIRE_BYTES_SENT% %DOWNSTREAM_HEADER_BYTES_SENT% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%) "
    "%DOWNSTREAM_HEADER_BYTES_RECEIVED% "
    "%UPSTREAM_HEADER_BYTES_RECEIVED% %UPSTREAM_HEADER_BYTES_SENT% %UPSTREAM_HOST_NAME% %UPSTREAM_HOSTS_ATTEMPTED% "
    "%UPSTREAM_CONNECTION_ID% %FILTER_CHAIN_NAME% %UPSTREAM_DETECTED_CLOSE_TYPE% %DOWNSTREAM_TLS_VERSION% "
    "%DOWNSTREAM_TLS_CIPHER% %REQUESTED_SERVER_NAME% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_SUBJECT% "
    "body(%COMMON_DURATION(US_RX_BEG:US_RX_BODY_BEG:us)%)\n"
)

JSON_FORMAT = json.dumps({operator: f"%{operator}%" for operator in re.findall(r"%([^%]+)%", FORMAT)})

TO_RETRIES = Answer((sized(b"more"),))
"""For attempts that the script has no answer for any more."""


class Host(Protocol):
    """What answers by a script."""

    protocol: Literal["http1", "http2"]
    received: list[bytes]

    def __init__(self, script: list[Step]) -> None: ...
    async def serve(self, stream: trio.SocketStream) -> None: ...


class Origin:
    """Answers by the script, over however many connections; keeps what it received."""

    protocol: Literal["http1"] = "http1"

    def __init__(self, script: list[Step]) -> None:
        self._answers: Iterator[Answer] = iter([step.answer for step in script])
        self.received: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        with stream.socket:
            data = b""
            while True:
                while (end := request_end(data)) < 0:
                    piece = await stream.receive_some(65536)
                    if not piece:
                        return
                    data += piece
                self.received.append(data[:end])
                data = data[end:]
                answer = next(self._answers, TO_RETRIES)
                for piece in answer.pieces:
                    await stream.send_all(piece)
                    await trio.sleep(0.002)
                if answer.closes:
                    return


def request_end(data: bytes) -> int:
    """Where the request at the head of `data` ends; -1 if it is not all there."""
    head = data.find(b"\r\n\r\n") + 4
    if head < 4:
        return -1
    if b"\r\ntransfer-encoding: chunked" in data[:head].lower():
        end = data.find(b"0\r\n\r\n", head)
        return -1 if end < 0 else end + 5
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", data[:head])
    end = head + (int(length[1]) if length else 0)
    return end if len(data) >= end else -1


class Outcome(NamedTuple):
    to_origin: list[bytes]
    to_client: list[bytes]
    words: dict[str, int]
    samples: dict[str, int]
    tables: tuple[dict[Any, int], dict[Any, int]]
    log: str


_VARIABLE = [
    (re.compile(rb"(?i)(x-request-id: )(?!7a1d3f9e)[0-9a-f-]{36}"), rb"\1ID"),
    (re.compile(rb"(?i)(x-envoy-upstream-service-time: )\d+"), rb"\g<1>0"),
    *[  # what is left to a retry
        (
            re.compile(rb"(?i)(x-envoy-expected-rq-timeout-ms: )(?:%d000|%d\d{3})\b" % (of, of - 1)),
            rb"\1LEFT OF %d" % of,
        )
        for of in (15, 9, 5)
    ],
    (re.compile(rb"(?i)(set-cookie: made=)\"[0-9a-f]{16}"), rb'\1"VALUE'),
    (re.compile(rb"(?i)(date: )(?!Mon, 23 Nov 2026 00:00:00)[^\r]*"), rb"\1NOW"),
]


def normalised(data: bytes) -> bytes:
    for pattern, constant in _VARIABLE:
        data = pattern.sub(constant, data)
    return data


def without_service_time(sent: re.Match[str]) -> str:
    """Bytes of a response and of its fields, but for the digits of a time."""
    return f"sent({int(sent[1]) - len(sent[3])} {int(sent[2]) - len(sent[3])})"


async def one_answer(client: Client, request: bytes) -> bytes:
    """What the client gets for `request`, up to the answer's end or the connection's."""
    await client.send(request)
    data = b""
    with trio.move_on_after(2):
        while not answer_complete(data, request):
            try:
                piece = await client.stream.receive_some(65536)
            except trio.BrokenResourceError:
                return data + b"[reset]"
            if not piece:
                return data + b"[end]"
            data += piece
    return data


def answer_complete(data: bytes, request: bytes) -> bool:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if request.startswith(b"HEAD") or head.split()[1] in (b"204", b"304"):
        return True
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(length) and len(body) >= int(length[1])  # type: ignore[index]


def run(
    script: list[Step],
    path: Path,
    *,
    lane: bool,
    monkeypatch: pytest.MonkeyPatch,
    routing: Routing = PLAIN_ROUTING,
    ask: Callable[[Client, bytes], Awaitable[bytes]] = one_answer,
    tls: DownstreamTls | None = None,
    host: type[Host] = Origin,
    **hcm: Any,
) -> Outcome:
    """The script through a proxy of its own, one connection at a time; a new one where the proxy closes. `ask` sends
    a request and returns its answer. The client speaks TLS where there is a context for it.
    """
    path.unlink(missing_ok=True)
    origin = host(script)
    loggers = [
        plugin(
            "file", "envoy.extensions.access_loggers.file.v3.FileAccessLog", {"path": str(path), "format": log_format}
        )
        for log_format in ({"text": FORMAT}, {"json_format": JSON_FORMAT, "omit_empty_values": True})
    ]
    answers: list[bytes] = []

    async def main() -> Outcome:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            address = SocketAddress(*listening.getsockname())
            listening.setblocking(False)
            routes = [
                routing.apply(route("/a", timeout=9.0, name="a")),
                route("/none", "nowhere"),
                routing.apply(route("/", name="rest")),
            ]
            config = compiled(
                address,
                routes=routes,
                access_log=tuple(map(AccessLog, loggers)),
                virtual_host=dict(routing.host),
                target=routing.target,
                protocol=origin.protocol,
                lb=HASHED if "hash_policies" in routing.action else LoadBalancing(),
                **hcm,
            )
            if tls is not None:
                config = over_tls(config, tls)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, origin.serve, [listener])
                async with serving(config) as rig:
                    client = await connected(rig, tls)
                    for step in script:
                        answer = await ask(client, step.request)
                        answers.append(normalised(answer))
                        if answer.endswith((b"[end]", b"[reset]")) or b"connection: close" in answer.lower():
                            await trio.aclose_forcefully(client.stream)
                            await rig.quiet()
                            client = await connected(rig, tls)
                    await trio.aclose_forcefully(client.stream)
                    await rig.quiet()
                    rig.server.reopen_logs()
                    await rig.stop()
                    words = {name: word.value for name, word in rig.stats.words.items() if word.value}
                    for name in ("flushed_by_timer", "write_completed"):  # half a second may be over, or not
                        words.pop(f"filesystem.{name}", None)
                    samples = {name: len(found.values) for name, found in rig.stats.samples.items() if found.values}
                    tables = (dict(rig.tables.hosts._words), dict(rig.tables.clusters._words))
                nursery.cancel_scope.cancel()
        return Outcome([normalised(data) for data in origin.received], answers, words, samples, tables, "")

    with monkeypatch.context() as patch:
        if not lane:
            patch.setattr(hcm_express, "suits", lambda config, filters: False)
        outcome = trio.run(main)
    log = path.read_text() if path.exists() else ""
    log = re.sub(r"sent\((\d+) (\d+) (\d+)\)", without_service_time, log)
    log = re.sub(r'"(?:DOWNSTREAM_(?:WIRE|HEADER)_BYTES_SENT|RESP.X-ENVOY-UPSTREAM-SERVICE-TIME.)":"?\d+"?', "", log)
    log = re.sub(r'(body\(|BODY_BEG:us\)":)\d+', r"\1SOON", log)
    log = re.sub(r"127\.0\.0\.1:\d+", "HOST", log)  # a new origin each time
    return outcome._replace(log=re.sub(r"(?!7a1d3f9e)[0-9a-f]{8}-[0-9a-f-]{27}", "ID", log))


OWN = authority().issue("a.test")
TLS = DownstreamTls((Certificate(OWN.chain.encode(), OWN.key.encode()),))
TRUSTING = authority().client()


def over_tls(config: CompiledConfig, tls: DownstreamTls) -> CompiledConfig:
    (listener,) = config.listeners
    (chain,) = listener.filter_chains
    secured = msgspec.structs.replace(listener, filter_chains=(msgspec.structs.replace(chain, tls=tls),))
    return msgspec.structs.replace(config, listeners=(secured,))


async def connected(rig: Rig, tls: DownstreamTls | None) -> Client:
    """A client; of one that speaks TLS the handshake is complete."""
    client = await rig.connect()
    if tls is not None:
        secure = trio.SSLStream(client.stream, TRUSTING, server_hostname="a.test", https_compatible=True)
        await secure.do_handshake()
        client = Client(client.stream)
        client.stream = secure  # type: ignore[assignment]
    return client


def assert_same(with_lane: Outcome, without: Outcome, *, service_time: bool) -> None:
    """`service_time`: responses tell it."""
    if service_time:  # the digits of the service time vary
        for outcome in (with_lane, without):
            outcome.words.pop("http.in.downstream_cx_tx_bytes_total", None)
    for name, with_it, without_it in zip(Outcome._fields, with_lane, without, strict=True):
        if isinstance(with_it, dict):
            assert dict(with_it.items() - without_it.items()) == dict(without_it.items() - with_it.items()), name
        assert with_it == without_it, name
