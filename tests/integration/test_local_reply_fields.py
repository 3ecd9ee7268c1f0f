"""Fields of `local_reply_config`: what a client gets where the proxy itself answers."""

from __future__ import annotations

import json

import pytest
import trio

from tests.integration.test_fields import one_listener
from tests.kit.config import CLUSTERS, bootstrap
from tests.unit.proxy.rig import serving

PACKAGE = "envoy.extensions.filters.network.http_connection_manager.v3"
MAPPER = f"{PACKAGE}.ResponseMapper"
FORMAT = "envoy.config.core.v3.SubstitutionFormatString"
NOWHERE = "{virtual_hosts: [{name: v, domains: [elsewhere], routes: []}]}"
GET = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
MISSING = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 404, "runtime_key": "k"}}}}
OTHER = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 500, "runtime_key": "k"}}}}


def text(line: str, **fields: str) -> dict[str, object]:
    return {"text_format_source": {"inline_string": line}, **fields}


def reply(data: bytes = GET, **config: object) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request that no route matches."""
    hcm = f"local_reply_config: {json.dumps(config)}"

    async def run() -> bytes:
        async with serving(one_listener(bootstrap(hcm=hcm, route_config=NOWHERE, clusters=CLUSTERS))) as rig:
            answer = await rig.ask(data)
            await rig.stop()
            return answer

    head, _, body = trio.run(run).partition(b"\r\n\r\n")
    return head, body


@pytest.mark.field(f"{PACKAGE}.HttpConnectionManager.local_reply_config")
@pytest.mark.field(f"{PACKAGE}.LocalReplyConfig.body_format")
def test_a_format_for_all_replies() -> None:
    head, body = reply(body_format=text("%RESPONSE_CODE% for %REQ(:PATH)% %LOCAL_REPLY_BODY%"))
    assert body == b"404 for /x "
    assert b"\r\ncontent-type: text/plain\r\n" in head


@pytest.mark.field(f"{FORMAT}.content_type")
def test_the_content_type_of_a_format() -> None:
    head, _ = reply(body_format=text("<p>", content_type="text/html"))
    assert b"\r\ncontent-type: text/html\r\n" in head


@pytest.mark.field(f"{PACKAGE}.LocalReplyConfig.mappers")
@pytest.mark.field(f"{MAPPER}.status_code")
def test_the_first_mapper_that_fits_counts() -> None:
    mappers = [{"filter": MISSING, "status_code": status} for status in (418, 419)]
    assert reply(mappers=mappers)[0].startswith(b"HTTP/1.1 418 ")


@pytest.mark.field(f"{MAPPER}.filter")
def test_a_mapper_whose_filter_does_not_fit_changes_nothing() -> None:
    mappers = [{"filter": OTHER, "status_code": 418}, {"filter": MISSING, "status_code": 419}]
    assert reply(mappers=mappers)[0].startswith(b"HTTP/1.1 419 ")


@pytest.mark.field(f"{MAPPER}.body")
@pytest.mark.field(f"{MAPPER}.body_format_override")
def test_a_body_and_a_format_of_its_own() -> None:
    override = {"json_format": {"message": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%"}}
    mapper = {"filter": MISSING, "body": {"inline_string": "gone"}, "body_format_override": override}
    head, body = reply(mappers=[mapper], body_format=text("not this"))
    assert body == b'{"code":404,"message":"gone"}\n'
    assert b"\r\ncontent-type: application/json\r\n" in head


@pytest.mark.field(f"{MAPPER}.headers_to_add")
def test_headers() -> None:
    option = {"header": {"key": "x-why", "value": "%RESPONSE_CODE_DETAILS%"}}
    assert b"\r\nx-why: route_not_found\r\n" in reply(mappers=[{"filter": MISSING, "headers_to_add": [option]}])[0]


def test_a_grpc_client_is_told_in_grpc() -> None:
    request = GET.replace(b"host", b"content-type: application/grpc\r\nhost")
    mapper = {"filter": MISSING, "status_code": 503, "body": {"inline_string": "größe %"}}
    head, body = reply(request, mappers=[mapper])
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\n")
    assert b"\r\ngrpc-message: gr%C3%B6%C3%9Fe %25\r\n" in head
    assert body == b""
