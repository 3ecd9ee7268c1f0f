"""Who stands behind the peer, and what is told of clients' certificates: options of the connection manager."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.origin import Origin
from tests.parity.log_lines import END, Logs, log, run_logs, text, with_end
from tests.parity.rules import HCM, of

PACKAGE = "type.googleapis.com/envoy.extensions.http.original_ip_detection"
INSIDE = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
LOOPBACK = {"address_prefix": "127.0.0.0", "prefix_len": 8}
TEN = {"address_prefix": "10.0.0.0", "prefix_len": 8}


def xff(**fields: object) -> Fields:
    return {"name": "xff", "typed_config": {"@type": f"{PACKAGE}.xff.v3.XffConfig", **fields}}


def custom(**fields: object) -> Fields:
    config = {"@type": f"{PACKAGE}.custom_header.v3.CustomHeaderConfig", "header_name": "X-Ip", **fields}
    return {"name": "custom", "typed_config": config}


DETECTIONS: dict[str, list[Fields]] = {
    "xff": [xff()],
    "one_hop": [xff(xff_num_trusted_hops=1)],
    "appends": [xff(skip_xff_append=False)],
    "one_hop_appends": [xff(xff_num_trusted_hops=1, skip_xff_append=False)],
    "ranges": [xff(xff_trusted_cidrs={"cidrs": [LOOPBACK, TEN]})],
    "ranges_append": [xff(xff_trusted_cidrs={"cidrs": [LOOPBACK, TEN]}, skip_xff_append=False)],
    "other_ranges": [xff(xff_trusted_cidrs={"cidrs": [TEN]})],
    "no_ranges": [xff(xff_trusted_cidrs={})],
    "custom": [custom()],
    "custom_trusted": [custom(allow_extension_to_set_address_as_trusted=True)],
    "custom_403": [custom(reject_with_status={"code": "Forbidden"})],
    "custom_429": [custom(reject_with_status={"code": 429})],
    "custom_200": [custom(reject_with_status={"code": 200})],
    "custom_then_xff": [custom(), xff()],
    "xff_then_custom": [xff(skip_xff_append=False), custom()],
    "custom_then_xff_appends": [custom(), xff(skip_xff_append=False)],
}
CALLER = text(
    "%REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%"
)
CLIENT_CERTS = ["SANITIZE", "ALWAYS_FORWARD_ONLY"]
REQUESTS = {
    "nothing": "",
    "two": "x-forwarded-for: 9.9.9.9, 10.1.1.1\r\n",
    "one": "x-forwarded-for: 10.1.1.1\r\n",
    "outside": "x-forwarded-for: 8.8.8.8\r\n",
    "inside": "x-forwarded-for: 10.3.3.3,10.2.2.2 , 10.1.1.1\r\n",
    "bad": "x-forwarded-for: 10.9.9.9, bad\r\n",
    "empty": "x-forwarded-for:\r\n",
    "v6": "x-forwarded-for: 2001:db8::1\r\nx-ip: ::1\r\n",
    "custom": "x-ip: 8.8.8.8\r\n",
    "custom_inside": "x-ip: 10.2.2.2\r\nx-forwarded-for: 1.1.1.1\r\n",
    "custom_bad": "x-ip: bad\r\n",
    "custom_twice": "x-ip: 8.8.4.4\r\nx-ip: 8.8.8.8\r\n",
}


@pytest.fixture(scope="module")
def logs() -> Iterator[Logs]:
    with Origin() as origin:
        everything = virtual_host("v", ["*"], route("/", "origin"))
        listeners = [
            http_listener(
                everything,
                name=name,
                original_ip_detection_extensions=extensions,
                internal_address_config=INSIDE,
                access_log=with_end(log("caller", CALLER)),
            )
            for name, extensions in DETECTIONS.items()
        ]
        listeners += [http_listener(everything, name=mode, forward_client_cert_details=mode) for mode in CLIENT_CERTS]
        with run_logs(bootstrap(listeners, [static_cluster("origin", origin.port)])) as both:
            yield both


@pytest.mark.parity(
    "rule 21",
    "rule 22",
    "rule 23",
    *of(HCM, "original_ip_detection_extensions"),
    *of(
        "extensions.http.original_ip_detection.xff.v3.XffConfig",
        "xff_num_trusted_hops",
        "skip_xff_append",
        "xff_trusted_cidrs",
    ),
    *of(
        "extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig",
        "header_name",
        "allow_extension_to_set_address_as_trusted",
        "reject_with_status",
    ),
)
@pytest.mark.parametrize("detection", DETECTIONS)
def test_the_same_client_is_found(logs: Logs, detection: str) -> None:
    """Each request is told from the others by its path."""
    for name, fields in REQUESTS.items():
        answers = logs.pair.send(f"GET /{name} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode(), listener=detection)
        answers.assert_same()
    logs.pair.send(b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n", listener=detection)
    logs.settle("/last")
    envoy, ours = logs.lines("caller")
    assert ours == envoy
    assert len(envoy) > len(REQUESTS)
    logs.lines(END)


@pytest.mark.parity("rule 24", *of(HCM, "forward_client_cert_details"))
@pytest.mark.parametrize("mode", CLIENT_CERTS)
def test_what_is_told_of_client_certificates(logs: Logs, mode: str) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-client-cert: By=a;Hash=b\r\n\r\n"
    answers = logs.pair.send(request, listener=mode)
    answers.assert_same()
    forwarded = "x-forwarded-client-cert" in dict(answers.envoy.echo["headers"])
    assert forwarded == (mode == "ALWAYS_FORWARD_ONLY")
