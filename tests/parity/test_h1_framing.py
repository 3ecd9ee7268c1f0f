"""HTTP/1 framing beside the real Envoy: every file of tests/corpus/http1 goes to both.

The same verdict (forwarded or refused, and with which status), or ours is a refusal that stands below with its reason.
What both forward, the origin must understand alike. Ours is the codecs alone: server → client, no filter between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.http.codec import CodecError
from proxy.http.codec_h1_client import H1ClientCodec
from proxy.http.codec_h1_server import H1ServerCodec
from proxy.http.events import DataReceived, Event, RequestReceived, ResponseReceived, StreamEnded
from proxy.http.h1_reason import reason_phrase
from proxy.http.headers import Headers
from tests.kit.client import Connection, ConnectionEnded
from tests.kit.envoy import Envoy
from tests.parity.h1_origin import MARK, Arrived, H1Origin, Reader

CORPUS = Path(__file__).parents[1] / "corpus" / "http1"
FORWARDED = "forwarded"
WAITING = "forwarded in part"  # Envoy waits for more of the body
FILTERS = "type.googleapis.com/envoy.extensions.filters"

# Envoy's answer to a request that both codecs accept: a decision of its connection manager, not of its codec.
ABOVE_THE_CODEC = {
    "asterisk_form": 404,  # absolute_path_rejected: `*` matches no route
    "absolute_form_query_without_path": 404,  # Envoy keeps `?q` as the path; RFC 9110 4.2.3 makes it `/?q`
}

# name → (Envoy's verdict, ours, why ours is the safer one)
STRICTER: dict[str, tuple[object, object, str]] = {
    "obs_fold": (FORWARDED, 400, "RFC 9112 5.2: reject, or the neighbours unfold differently"),
    "obs_fold_tab": (FORWARDED, 400, "as obs_fold"),
    "bare_lf": (FORWARDED, 400, "RFC 9112 2.2: parsers disagree whether LF alone ends a line"),
    "bare_lf_in_field": (FORWARDED, 400, "as bare_lf"),
    "bare_lf_at_end": (FORWARDED, 400, "as bare_lf"),
    "leading_bare_lf": (FORWARDED, 400, "as bare_lf"),
    "bare_cr_in_value": (FORWARDED, 400, "RFC 9112 2.2: a bare CR is invalid; Envoy deletes it from the value"),
    "double_cr": (FORWARDED, 400, "as bare_cr_in_value"),
    "bare_cr_in_request_line": (FORWARDED, 400, "as bare_cr_in_value"),
    "version_1_2": (426, 505, "RFC 9110 15.6.6 names this case; 426 would say that an upgrade helps"),
    "version_2_0": (426, 505, "as version_1_2"),
    "version_0_9": (426, 505, "as version_1_2"),
    "http2_preface": (400, 505, "read as a request of version 2.0"),
    "no_version": (426, 400, "the request line of HTTP/0.9, which nobody speaks"),
    "version_trailing_space": (FORWARDED, 400, "RFC 9112 3: exactly one SP between the parts, none behind"),
    "two_spaces_after_method": (FORWARDED, 400, "as version_trailing_space"),
    "two_spaces_before_version": (FORWARDED, 400, "as version_trailing_space"),
    "tab_after_method": (FORWARDED, 400, "as version_trailing_space"),
    "many_leading_empty_lines": (FORWARDED, 400, "bounded: eight empty lines are tolerated, not any number"),
    "two_hosts": (FORWARDED, 400, "RFC 9112 3.2; Envoy forwards `a,b`"),
    "two_equal_hosts": (FORWARDED, 400, "as two_hosts"),
    "absolute_form_two_hosts": (FORWARDED, 400, "as two_hosts"),
    "absolute_form_no_host": (FORWARDED, 400, "RFC 9112 3.2: an HTTP/1.1 request without Host is answered with 400"),
    "absolute_form_userinfo": (FORWARDED, 400, "RFC 9110 4.2.4: userinfo is an error; Envoy deletes it"),
    "host_empty": (FORWARDED, 400, "no virtual host is meant by it, but an upstream may have a default one"),
    "host_userinfo": (FORWARDED, 400, "RFC 9110 7.2: Host has no userinfo"),
    "host_comma": (FORWARDED, 400, "what two merged Host lines look like"),
    "host_bad_port": (FORWARDED, 400, "RFC 3986 3.2.3: a port is digits"),
    "host_long_port": (FORWARDED, 400, "as host_bad_port"),
    "host_open_bracket": (FORWARDED, 400, "RFC 3986 3.2.2: no IP literal"),
    "host_two_ports": (FORWARDED, 400, "RFC 3986 3.2.2: a colon only before the port"),
    "host_bare_ipv6": (FORWARDED, 400, "as host_two_ports"),
    "host_bad_percent": (FORWARDED, 400, "RFC 3986 2.1: an incomplete percent-encoding"),
    "connect_port_0": (FORWARDED, 400, "RFC 9112 3.2.3: nothing listens on port 0"),
    "chunk_lf_after_data": (FORWARDED, 400, "as bare_lf"),
    "chunk_data_too_long": (FORWARDED, 400, "RFC 9112 7.1: CRLF must follow the data; Envoy skips what stands there"),
    "chunk_16_digits": (WAITING, 400, "2**64-1 is no length that anything can hold"),
    "chunk_nul_in_extension": (FORWARDED, 400, "RFC 9112 7.1.1: no control characters"),
    "chunk_long_extension": (FORWARDED, 400, "bounded: a chunk line of at most 4 KiB"),
    "chunk_many_extensions": (FORWARDED, 400, "bounded: 16 KiB of extensions beyond the data (CVE-2023-39326)"),
    "chunk_lf_in_trailer": (FORWARDED, 400, "as bare_lf"),
    "chunk_trailer_fold": (FORWARDED, 400, "as obs_fold"),
    "chunk_many_trailers": (FORWARDED, 431, "bounded: as many trailers as headers"),
}

STRICTER_RESPONSES: dict[str, tuple[int, int, str]] = {
    "http_10_te": (200, 502, "RFC 9112 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing"),
    "version_1_2": (200, 502, "no such version"),
    "version_2_0": (200, 502, "as version_1_2"),
    "status_2000": (2000, 502, "as status_099"),
    "bad_chunk": (200, 502, "the same verdict: Envoy has sent the head before it cuts the connection"),
    "status_099": (99, 502, "RFC 9110 15: three digits, the first of them a class"),
    "status_20": (20, 502, "as status_099"),
    "bare_lf": (200, 502, "RFC 9112 2.2"),
    "obs_fold": (200, 502, "RFC 9112 5.2"),
    "unrequested_101": (101, 502, "RFC 9110 15.2.2: only after an Upgrade of the request; else it desynchronises"),
    "many_informational": (503, 502, "bounded: 16 interim responses"),
    "large_fields": (200, 502, "bounded: 60 KiB, as for requests"),
}


OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ONE_REQUEST = {  # this origin closes without saying so, which a request on a kept connection would run into
    "@type": f"type.googleapis.com/{OPTIONS}",
    "explicit_http_config": {"http_protocol_options": {}},
    "common_http_protocol_options": {"max_requests_per_connection": 1},
}


def files(role: str) -> list[Path]:
    return sorted(CORPUS.glob(f"*/{role}_*.http"))


def name_of(file: Path) -> str:
    return file.stem.partition("_")[2]


def bootstrap(port: int) -> str:
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "h1",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"connect_matcher": {}}, "route": {"cluster": "origin"}},
                        *(
                            {"match": {"path": f"/status/{status}"}, "direct_response": {"status": status}}
                            for status in range(200, 600)
                        ),
                        {"match": {"prefix": "/"}, "route": {"cluster": "origin"}},
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {
                    "@type": f"{FILTERS}.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return json.dumps(
        {
            "static_resources": {
                "listeners": [
                    {
                        "name": "h1",
                        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": "origin",
                        "connect_timeout": "5s",
                        "typed_extension_protocol_options": {OPTIONS: ONE_REQUEST},
                        "load_assignment": {
                            "cluster_name": "origin",
                            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                        },
                    }
                ],
            }
        }
    )


class Oracle:
    """One Envoy and one origin for all cases."""

    def __init__(self, envoy: Envoy, origin: H1Origin) -> None:
        self._address = envoy.address()
        self._origin = origin

    def forward(self, raw: bytes, *, responses: int, waiting: bool) -> tuple[object, list[Arrived]]:
        """Envoy's verdict on the requests in `raw`, and what arrived at the origin."""
        self._origin.arrived.clear()
        method = raw.lstrip(b"\r\n").split(b" ", 1)[0].decode("latin-1")
        with Connection(self._address) as connection:
            connection.send(raw)
            if waiting:
                connection.end_sending()  # or it would wait for ever
            try:
                answers = [connection.receive(method=method) for _ in range(responses)]
            except ConnectionEnded:
                return WAITING, []
        refusals = [answer.status for answer in answers if not answer.values(MARK.decode())]
        return (refusals[0] if refusals else FORWARDED), list(self._origin.arrived)

    def respond(self, name: str, request: str, *, whole: bool) -> tuple[int, bytes]:
        """The status and body that reach Envoy's client when the origin answers with the file `name`.

        Not `whole`: the status alone, for an answer that no client can read to its end.
        """
        offer = "Connection: Upgrade\r\nUpgrade: websocket\r\n" if request == "UPGRADE" else ""
        method = "GET" if request == "UPGRADE" else request
        with Connection(self._address) as connection:
            connection.send(f"{method} /raw/{name} HTTP/1.1\r\nHost: a\r\n{offer}\r\n".encode())
            if not whole:
                return int(connection.sock.recv(65536).split(b" ")[1]), b""
            answer = connection.receive(method=method)
            return answer.status, answer.body

    def reason(self, status: int) -> str:
        with Connection(self._address) as connection:
            return connection.request(b"GET /status/%d HTTP/1.1\r\nHost: a\r\n\r\n" % status).reason


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    raw = {file.stem: file.read_bytes() for file in files("response")}
    with H1Origin(raw) as origin, Envoy(bootstrap(origin.port)) as envoy:
        yield Oracle(envoy, origin)


def our_verdict(raw: bytes) -> tuple[object, list[Arrived]]:
    """What our two codecs make of the requests in `raw`, each answered with 200 when it is complete."""
    server, client, reader = H1ServerCodec(), H1ClientCodec(), Reader()
    arrived: list[Arrived] = []
    try:
        events = server.receive(raw)
        while events:
            relay(events, client)
            arrived += reader.receive(client.take_output())
            server.send_headers(1, 400 if arrived[-1].method == b"CONNECT" else 200, Headers(), end_stream=True)
            client = H1ClientCodec()
            events = server.next_exchange() if server.keep_alive else []
    except CodecError as error:
        return error.status, arrived
    return FORWARDED, arrived


def relay(events: list[Event], client: H1ClientCodec) -> None:
    for event in events:
        if isinstance(event, RequestReceived):
            client.send_request(event.method, event.path, event.authority, event.headers, end_stream=event.end_stream)
        elif isinstance(event, DataReceived):
            client.send_data(1, event.data)
        elif isinstance(event, StreamEnded):
            client.send_end(1, event.trailers)


@pytest.mark.parity("rule 14", "rule 15", "rule 16", "rule 17", "rule 18")
@pytest.mark.parametrize("file", files("request"), ids=name_of)
def test_request(file: Path, oracle: Oracle) -> None:
    raw, name = file.read_bytes(), name_of(file)
    ours, our_arrived = our_verdict(raw)
    theirs, their_arrived = oracle.forward(
        raw, responses=max(1, len(our_arrived)), waiting=STRICTER.get(name, (None,))[0] == WAITING
    )
    if name in STRICTER:
        assert (theirs, ours) == STRICTER[name][:2]
        assert ours != FORWARDED
    elif name in ABOVE_THE_CODEC:
        assert (theirs, ours) == (ABOVE_THE_CODEC[name], FORWARDED)
    else:
        assert ours == theirs
        if ours == FORWARDED:
            assert our_arrived == their_arrived


@pytest.mark.parity("rule 28", "rule 63")
@pytest.mark.parametrize(
    "file", [file for file in files("response") if "connect" not in file.stem.split("_")], ids=name_of
)
def test_response(file: Path, oracle: Oracle) -> None:
    request = json.loads(file.with_suffix(".json").read_text()).get("request", "GET")
    name = name_of(file)
    theirs, their_body = oracle.respond(file.stem, request, whole=name not in STRICTER_RESPONSES)
    client = H1ClientCodec()
    offer = Headers([(b"connection", b"upgrade"), (b"upgrade", b"websocket")] if request == "UPGRADE" else [])
    method = b"GET" if request == "UPGRADE" else request.encode()
    client.send_request(method, b"/", b"a", offer, end_stream=True)
    try:
        events = client.receive(file.read_bytes()) + client.receive(b"")
    except CodecError as error:
        ours, our_body = error.status, their_body
    else:
        ours = next(event.status for event in events if isinstance(event, ResponseReceived))
        our_body = b"".join(event.data for event in events if isinstance(event, DataReceived))
    if name in STRICTER_RESPONSES:
        assert (theirs, ours) == STRICTER_RESPONSES[name][:2]
        assert ours == 502
    else:
        assert ours == theirs
        if theirs not in (101, 502):
            assert our_body == their_body


@pytest.mark.parity("rule 64")
def test_reason_phrases(oracle: Oracle) -> None:
    theirs = {status: oracle.reason(status) for status in range(200, 600)}
    assert {status: reason_phrase(status).decode() for status in theirs} == theirs


def test_every_deviation_has_its_case() -> None:
    requests, responses = ({name_of(file) for file in files(role)} for role in ("request", "response"))
    assert set(STRICTER) | set(ABOVE_THE_CODEC) <= requests
    assert set(STRICTER_RESPONSES) <= responses
