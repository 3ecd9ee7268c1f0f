"""Compilation of the connection manager's options about who is asking and who we are."""

from __future__ import annotations

import pytest

from proxy.config.identity import ClientCert, InternalAddresses, UserAgent
from proxy.filters.network.hcm_identity_config import PRIVATE
from tests.kit.config import bootstrap, findings, manager

PACKAGE = "envoy.extensions.filters.network.http_connection_manager.v3"
HCM = f"{PACKAGE}.HttpConnectionManager"
UUID = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"


@pytest.mark.field(
    f"{HCM}.request_id_extension", f"{PACKAGE}.RequestIDExtension.typed_config", f"{UUID}.pack_trace_reason"
)
def test_ids_that_say_nothing_about_tracing() -> None:
    config = f"{{'@type': type.googleapis.com/{UUID}, pack_trace_reason: false}}"
    extension = f"request_id_extension: {{typed_config: {config}}}"
    assert not manager(bootstrap(hcm=extension)).identity.packs_trace_reason
    assert manager(bootstrap()).identity.packs_trace_reason
    other = extension.replace(UUID, "google.protobuf.Struct").replace(", pack_trace_reason: false", "")
    (fault,) = findings(bootstrap(hcm=other))
    assert "no request id extension has the type google.protobuf.Struct" in fault.message
    assert fault.field_path.endswith("request_id_extension.typed_config")


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(mode, marks=pytest.mark.field(f"{HCM}.forward_client_cert_details={mode}"))
        for mode in ("FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET")
    ],
)
def test_what_becomes_of_client_certificates(mode: str) -> None:
    assert manager(bootstrap(hcm=f"forward_client_cert_details: {mode}")).identity.client_cert.forward == mode


@pytest.mark.field(f"{HCM}.set_current_client_cert_details")
@pytest.mark.parametrize(
    "detail",
    [
        pytest.param(name, marks=pytest.mark.field(f"{HCM}.SetCurrentClientCertDetails.{name}"))
        for name in ("cert", "chain", "subject", "uri", "dns")
    ],
)
def test_details_of_certificates(detail: str) -> None:
    hcm = f"forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {{{detail}: true}}"
    assert manager(bootstrap(hcm=hcm)).identity.client_cert == ClientCert("SANITIZE_SET", (detail,))  # type: ignore[arg-type]


@pytest.mark.field(f"{HCM}.add_user_agent")
def test_the_user_agent_is_the_node() -> None:
    node = "node: {id: our-node, cluster: us}\n"
    assert manager(node + bootstrap(hcm="add_user_agent: true")).identity.user_agent == UserAgent("us", "our-node")
    assert manager(node + bootstrap(hcm="add_user_agent: false")).identity.user_agent is None


def test_internal_addresses_without_ranges_are_the_private_ones() -> None:
    assert manager(bootstrap()).identity.internal_addresses == InternalAddresses()
    unix = manager(bootstrap(hcm="internal_address_config: {unix_sockets: true}")).identity.internal_addresses
    assert unix == InternalAddresses(unix_sockets=True, cidr_ranges=PRIVATE)
    one = "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}"
    assert manager(bootstrap(hcm=one)).identity.internal_addresses.cidr_ranges == ("10.0.0.0/8",)
