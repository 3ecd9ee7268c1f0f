"""Fields of the original IP detection extensions, and of what is told of clients' certificates."""

from __future__ import annotations

import json

import pytest

from tests.integration.test_fields import HCM, asked, proxy, request, virtual
from tests.integration.test_identity_fields import upstream_head
from tests.kit.config import bootstrap, findings
from tests.unit.upstream.rig import OK, answering

PACKAGE = "envoy.extensions.http.original_ip_detection"
XFF = f"{PACKAGE}.xff.v3.XffConfig"
CUSTOM = f"{PACKAGE}.custom_header.v3.CustomHeaderConfig"
EXTENSIONS = f"{HCM}.original_ip_detection_extensions"
INSIDE = "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"
IS_INSIDE = b"\r\nx-envoy-internal: true\r\n"


def detected_by(type_name: str, **fields: object) -> str:
    extension = {"name": "e", "typed_config": {"@type": f"type.googleapis.com/{type_name}", **fields}}
    return f"{INSIDE}\noriginal_ip_detection_extensions: {json.dumps([extension])}"


@pytest.mark.field(EXTENSIONS)
@pytest.mark.field("envoy.config.core.v3.TypedExtensionConfig.typed_config")
@pytest.mark.field(f"{CUSTOM}.header_name")
@pytest.mark.field(f"{CUSTOM}.allow_extension_to_set_address_as_trusted")
@virtual
async def test_an_address_in_a_header_of_choice() -> None:
    hcm = detected_by(CUSTOM, header_name="x-ip", allow_extension_to_set_address_as_trusted=True)
    assert IS_INSIDE in await upstream_head("x-ip: 10.1.1.1", "x-forwarded-for: 9.9.9.9", hcm=hcm)
    assert IS_INSIDE not in await upstream_head("x-forwarded-for: 9.9.9.9", hcm=hcm)


@pytest.mark.field(f"{CUSTOM}.reject_with_status")
@pytest.mark.field("envoy.type.v3.HttpStatus.code")
@virtual
async def test_a_request_without_an_address_is_refused() -> None:
    hcm = detected_by(CUSTOM, header_name="x-ip", reject_with_status={"code": "Unauthorized"})
    async with proxy(answering(OK), hcm=hcm) as rig:
        head, _ = await (await asked(rig, request("x-ip: none"))).response()
        assert head.startswith(b"HTTP/1.1 401 ")
        assert rig.stats.value("http.in.downstream_rq_rejected_via_ip_detection") == 1


@pytest.mark.field(f"{XFF}.skip_xff_append")
@virtual
async def test_the_peer_is_told() -> None:
    hcm = detected_by(XFF, skip_xff_append=False)
    assert b"x-forwarded-for: 8.8.8.8," in await upstream_head("x-forwarded-for: 8.8.8.8", hcm=hcm)


@pytest.mark.field(f"{XFF}.xff_num_trusted_hops")
@virtual
async def test_trusted_hops() -> None:
    """Behind a hop, a single address is nobody's who could count as inside."""
    hcm = detected_by(XFF, xff_num_trusted_hops=1)
    assert IS_INSIDE not in await upstream_head("x-forwarded-for: 10.1.1.1", hcm=hcm)


@pytest.mark.field(f"{XFF}.xff_trusted_cidrs")
@pytest.mark.field(f"{PACKAGE}.xff.v3.XffTrustedCidrs.cidrs")
@virtual
async def test_ranges_that_the_peer_is_not_in() -> None:
    hcm = detected_by(XFF, xff_trusted_cidrs={"cidrs": [{"address_prefix": "192.0.2.0", "prefix_len": 24}]})
    assert IS_INSIDE not in await upstream_head("x-forwarded-for: 10.1.1.1", hcm=hcm)


@pytest.mark.field(f"{HCM}.forward_client_cert_details=ALWAYS_FORWARD_ONLY")
@virtual
async def test_a_certificate_that_somebody_else_has_seen() -> None:
    head = await upstream_head("x-forwarded-client-cert: By=a", hcm="forward_client_cert_details: ALWAYS_FORWARD_ONLY")
    assert b"\r\nx-forwarded-client-cert: By=a\r\n" in head


@pytest.mark.parametrize("other", ["use_remote_address: true", "xff_num_trusted_hops: 1"])
def test_two_ways_of_saying_who_is_asking_are_an_error(other: str) -> None:
    (finding,) = findings(bootstrap(hcm=f"{detected_by(XFF)}\n{other}"))
    assert "does not go with original_ip_detection_extensions" in finding.message
