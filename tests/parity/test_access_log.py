"""Access logs of Envoy and of ours, line by line, for the same requests (features §13 rules 30, 31, 45)."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import Address
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.parity import Pair
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy
from tests.parity.rules import HCM, of

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
ADDRESSES = [
    f"DOWNSTREAM_{kind}{part}"
    for kind in ("REMOTE", "DIRECT_REMOTE", "LOCAL", "DIRECT_LOCAL")
    for part in ("_ADDRESS", "_ADDRESS_WITHOUT_PORT", "_PORT")
] + [
    f"UPSTREAM_{kind}{part}" for kind in ("REMOTE", "LOCAL") for part in ("_ADDRESS", "_ADDRESS_WITHOUT_PORT", "_PORT")
]
DURATIONS = [
    "DURATION", "REQUEST_DURATION", "REQUEST_TX_DURATION", "RESPONSE_DURATION", "RESPONSE_TX_DURATION",
    "COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)", "COMMON_DURATION(US_TX_BEG:US_TX_END:ns)",
    "COMMON_DURATION(US_RX_BEG:US_RX_END:us)", "COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)",
]  # fmt: skip
OPERATORS = [
    "ACCESS_LOG_TYPE", "BYTES_RECEIVED", "BYTES_SENT", "CONNECTION_TERMINATION_DETAILS", "ENVIRONMENT(NOT_SET_HERE)",
    "HOSTNAME", "LOCAL_REPLY_BODY", "PATH", "PATH(NQ)", "PATH(WQ:PATH)", "PATH(NQ:ORIG)", "PROTOCOL", "QUERY_PARAM(a)",
    "QUERY_PARAM(b):2", "QUERY_PARAM(zz)", "REQ(:METHOD)", "REQ(:PATH):3", "REQ(:AUTHORITY)", "REQ(HOST)",
    "REQ(:SCHEME)", "REQ(X-A?:PATH)", "REQ(NOPE)", "REQ(X-DUP)", "REQ(ACCEPT)", "REQ(USER-AGENT):4",
    "REQ(X-FORWARDED-PROTO)", "REQ(X-ENVOY-EXPECTED-RQ-TIMEOUT-MS)", "RESP(:STATUS)", "RESP(SERVER)",
    "RESP(CONTENT-TYPE)", "RESP(CONTENT-LENGTH)", "RESP(NOPE?SERVER)", "TRAILER(X-T)", "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS", "RESPONSE_FLAGS_LONG", "ROUTE_NAME", "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW", "UPSTREAM_HOST", "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "START_TIME", "START_TIME(%Y %s.%3f %Z)", "STREAM_ID", "UNIQUE_ID", "CONNECTION_ID",
    "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_WIRE_BYTES_SENT",
]  # fmt: skip
ALL = [f"%{name}%" for name in (*OPERATORS, *ADDRESSES, *DURATIONS)]
VARIES = re.compile(
    r"%(\w*DURATION\b|START_TIME|STREAM_ID|UNIQUE_ID|CONNECTION_ID|\w+(REMOTE|LOCAL)_(PORT|ADDRESS)%|UPSTREAM_WIRE)"
)
"""Operators whose values no two runs share: only whether there is one is compared."""

SEPARATOR = " ~ "
NESTED = {
    "z": 1,
    "flags": "%RESPONSE_FLAGS%",
    "code": "%RESPONSE_CODE%",
    "nested": {"path": "%REQ(:PATH)%", "list": ["%REQ(NOPE)%", {"x": "%PROTOCOL%"}, "%BYTES_SENT%", 2.5]},
    "mixed": "<%REQ(USER-AGENT)%> %RESPONSE_CODE%",
    "agent": "%REQ(USER-AGENT)%",
    "empty": {"none": "%REQ(NOPE)%"},
    "null": None,
    "yes": True,
}
FORMATS: dict[str, Fields | None] = {
    "default": None,
    "every": {"json_format": {operator: operator for operator in ALL}},
    "text": {"text_format_source": {"inline_string": SEPARATOR.join(ALL) + "\n"}},
    "json": {"json_format": NESTED},
    "omit": {"json_format": NESTED, "omit_empty_values": True},
    "omit_text": {
        "text_format_source": {"inline_string": "[%REQ(NOPE)%][%UPSTREAM_HOST%]\n"},
        "omit_empty_values": True,
    },
    "old": {"text_format": "100%% %REQ(USER-AGENT)%\n"},
}
FILTERS: dict[str, Fields] = {
    "errors": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "k"}}}},
    "slow": {"duration_filter": {"comparison": {"op": "GE", "value": {"default_value": 250, "runtime_key": "k"}}}},
    "flagged": {"response_flag_filter": {"flags": ["UF", "DPE"]}},
    "any_flag": {"response_flag_filter": {}},
    "no_agent": {"header_filter": {"header": {"name": "user-agent", "present_match": True, "invert_match": True}}},
    "not_health": {"not_health_check_filter": {}},
}


def log(name: str, log_format: Fields | None, condition: Fields | None = None) -> Fields:
    config = {"@type": FILE, "path": f"{{directory}}/{name}", **({"log_format": log_format} if log_format else {})}
    return {"name": name, "typed_config": config, **({"filter": condition} if condition else {})}


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Origin() as origin:
        conditions = {
            **FILTERS,
            "both": {"and_filter": {"filters": [FILTERS["errors"], FILTERS["any_flag"]]}},
            "either": {"or_filter": {"filters": [FILTERS["slow"], FILTERS["no_agent"]]}},
        }
        marked = {"text_format": "%REQ(:PATH)% %RESPONSE_CODE%\n"}
        logs = [log(name, log_format) for name, log_format in FORMATS.items()]
        logs += [log(name, marked, condition) for name, condition in conditions.items()]
        everything = virtual_host(
            "v",
            ["*.test"],
            route("/timeout", "origin", timeout="0.3s"),
            route("/down", "down"),
            route("/nobody", "nobody"),
            {**route("/", "origin"), "name": "named"},
        )
        clusters = [static_cluster("origin", origin.port), static_cluster("down", 1), static_cluster("nobody")]
        text = bootstrap([http_listener(everything, access_log=logs)], clusters)
        flush = ("--file-flush-interval-msec", "100")
        with Envoy(text, arguments=flush) as envoy, Proxy(text) as ours:
            yield Pair(envoy, ours)


HOST = b"Host: a.test\r\n"
REQUESTS = {
    "200": b"GET /x?a=1&b=%20x HTTP/1.1\r\n" + HOST + b"User-Agent: agent\r\nX-Dup: 1\r\nX-Dup: 2\r\n\r\n",
    "http10": b"GET /x?body=3 HTTP/1.1\r\n" + HOST + b"Accept: 1\r\nAccept: 2\r\nX-A: hello\r\n\r\n",
    "post": b"POST /x?body=10 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "chunked": b"POST /x?chunked=10&trailer=x-t:v HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "head": b"HEAD /x?body=10 HTTP/1.1\r\n" + HOST + b"\r\n",
    "quoted": b"GET /x?body=1 HTTP/1.1\r\n" + HOST + b'User-Agent: q"b\\\t \xc3\xa9 </>\r\n\r\n',
    "not_utf8": b"GET /x?body=1 HTTP/1.1\r\n" + HOST + b'User-Agent: q"b\\\t \xc3\xa9 \xff </>\r\n\r\n',
    "404": b"GET /x HTTP/1.1\r\nHost: other\r\n\r\n",
    "500": b"GET /x?status=500 HTTP/1.1\r\n" + HOST + b"\r\n",
    "uf": b"GET /down HTTP/1.1\r\n" + HOST + b"\r\n",
    "uh": b"GET /nobody HTTP/1.1\r\n" + HOST + b"\r\n",
    "uc": b"GET /x?close=before HTTP/1.1\r\n" + HOST + b"\r\n",
    "ut": b"GET /timeout?delay=2 HTTP/1.1\r\n" + HOST + b"\r\n",
    "upe": b"GET /x?raw=nonsense%0d%0a%0d%0a HTTP/1.1\r\n" + HOST + b"\r\n",
    "400": b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n",
    "431": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
}


def directories(pair: Pair) -> tuple[Path, Path]:
    return pair.envoy.directory, pair.ours.directory


def lengths(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in directory.iterdir() if path.is_file()}


def new_lines(directory: Path, name: str, before: dict[str, int]) -> list[bytes]:
    path = directory / name
    return path.read_bytes()[before.get(name, 0) :].splitlines() if path.exists() else []


def settled(pair: Pair, before: list[dict[str, int]]) -> None:
    """Until both have flushed: the text log has one line more."""

    def written() -> bool:
        return all(new_lines(where, "old", was) for where, was in zip(directories(pair), before, strict=True))

    wait_for(written, deadline=30, what="both access logs have a line")
    time.sleep(0.05)  # the other files of the same flush


def compare(pair: Pair, before: list[dict[str, int]]) -> dict[str, Any]:
    """All new lines of both are the same. Gives our values of every operator."""
    settled(pair, before)

    def both(name: str) -> list[list[bytes]]:
        return [new_lines(where, name, was) for where, was in zip(directories(pair), before, strict=True)]

    envoy, ours = ([json.loads(line) for line in lines] for lines in both("every"))
    assert len(ours) == len(envoy)
    for own, theirs in zip(ours, envoy, strict=True):
        assert typed(own).items() - typed(theirs).items() == typed(theirs).items() - typed(own).items()
    assert [texts(line) for line in both("text")[1]] == [texts(line) for line in both("text")[0]]
    for name in ("json", "omit", "omit_text", "old"):
        theirs, own = both(name)
        assert own == theirs, name
    theirs, own = ([masked(line) for line in lines] for lines in both("default"))
    assert own == theirs
    for name in (*FILTERS, "both", "either"):
        theirs, own = both(name)
        assert own == theirs, name
    return dict(ours[0])


def typed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: type(value).__name__ if VARIES.match(name) else value for name, value in values.items()}


def texts(line: bytes) -> list[bytes]:
    parts = line.split(SEPARATOR.encode())
    assert len(parts) == len(ALL)
    return [b"*" if VARIES.match(name) and part != b"-" else part for name, part in zip(ALL, parts, strict=True)]


def masked(line: bytes) -> bytes:
    """A line of the default format without times and identifiers."""
    line = re.sub(rb"^\[[-0-9T:.]+Z\]", b"[TIME]", line)
    line = re.sub(rb'"[0-9a-f]{8}-[0-9a-f-]{27}"', b'"UUID"', line)
    line = re.sub(rb'(" \d+ [\w,-]+ \d+ \d+) \d+ ', rb"\1 MS ", line)
    return re.sub(rb' MS \d+ "', b' MS MS "', line)


@pytest.mark.parity(
    "rule 30",
    "rule 31",
    "rule 45",
    *of(HCM, "access_log"),
    *of("extensions.access_loggers.file.v3.FileAccessLog", "path", "log_format"),
)
@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_lines(pair: Pair, name: str) -> None:
    before = [lengths(where) for where in directories(pair)]
    pair.send(REQUESTS[name])
    compare(pair, before)


def abandon(address: Address, data: bytes, seconds: float, *, reset: bool) -> None:
    """Sends `data` and goes away after a while, politely or not."""
    with socket.create_connection(address) as sock:  # type: ignore[arg-type]
        sock.sendall(data)
        time.sleep(seconds)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parity("rule 31")
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_away(pair: Pair, reset: bool) -> None:
    before = [lengths(where) for where in directories(pair)]
    for address in (pair.envoy.address(), pair.ours.address()):
        abandon(address, b"GET /x?delay=3 HTTP/1.1\r\n" + HOST + b"\r\n", 0.3, reset=reset)
    values = compare(pair, before)
    assert values["%RESPONSE_FLAGS%"] == "DC"
