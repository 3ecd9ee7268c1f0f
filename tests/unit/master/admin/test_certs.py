"""`/certs`, what stats say of certificates, and `proxyctl certs`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from master.admin.dispatch import answer
from master.admin.page import Context
from master.cli.main import main
from master.controller.tls_stats import TlsStats
from master.stats.aggregate import Intervals
from shm.metrics import Metrics
from tests.integration.tls.terminating import authority, certificate, inline
from tests.kit import ocsp
from tests.kit.admin import serving
from tests.kit.config import bootstrap, compiled
from tests.kit.secrets import put_secret
from tests.kit.trio import run_trio
from tests.kit.view import LiveView, live_view
from tests.unit.master.config.compile.test_secrets import downstream

SOON = authority().issue("a.test", "10.0.0.1", "spiffe://a/b", "a@b.test", name="soon", days=5.5)
LATER = authority().issue("b.test", name="later", days=20.5)
INSIDE = "listener.127.0.0.1_0."
UNNAMED = "e3b0c442"  # SHA-256 of no name


def configured(directory: Path) -> Any:
    wanted = put_secret(directory / "sds.json", "of:file", tls_certificate=certificate(LATER))
    trust = {"trusted_ca": inline(authority().pem + authority("another root").pem)}
    response = {"inline_bytes": base64.b64encode(ocsp.response(SOON, authority().pair)).decode()}
    two = {"tls_certificates": [{**certificate(SOON), "ocsp_staple": response}], "validation_context": trust}
    text = downstream(common=two)
    socket = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [wanted]},
    }
    tls = json.dumps({"name": "tls", "typed_config": socket})
    return compiled(text.replace("  - name: origin\n", f"  - name: origin\n    transport_socket: {tls}\n"))


async def page(view: LiveView, target: str = "/certs") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await answer("GET", target, Context(view, Intervals({})))).body)[
        "certificates"
    ]
    return found


@run_trio
async def test_the_page(tmp_path: Path) -> None:
    with live_view(configured(tmp_path)) as view:
        server, client = await page(view)
        assert [each["path"] for each in server["cert_chain"]] == ["<inline>"]
        (ours,) = server["cert_chain"]
        assert ours["subject_alt_names"] == [{"dns": "a.test"}, {"uri": "spiffe://a/b"}, {"ip_address": "10.0.0.1"}]
        assert (ours["days_until_expiration"], int(ours["serial_number"], 16)) == (
            "5",
            SOON.certificate.serial_number,
        )
        assert len(server["ca_cert"]) == 2
        assert client["ca_cert"] == []
        assert "used_by" not in ours
        assert ours["ocsp_details"].keys() == {"valid_from", "expiration"}
        server, _ = await page(view, "/certs?usage")
        assert (server["cert_chain"][0]["used_by"], server["cert_chain"][0]["subject"]) == ("listener main", "CN=soon")


@run_trio
async def test_without_tls_there_are_none() -> None:
    with live_view(compiled(bootstrap())) as view:
        assert await page(view) == []


def test_stats(tmp_path: Path) -> None:
    metrics = Metrics(counters={"sds.of_file.update_attempt": 2})
    TlsStats(configured(tmp_path)).add(metrics)
    expires = {name: value for name, value in metrics.gauges.items() if name.endswith("_unix_time_seconds")}
    name = "ssl.certificate.{}.expiration_unix_time_seconds"
    assert expires == {
        INSIDE + name.format(f"unnamed_cert_{UNNAMED}"): int(SOON.certificate.not_valid_after_utc.timestamp()),
        INSIDE + name.format(f"unnamed_ca_cert_{UNNAMED}"): min(
            int(root.pair.certificate.not_valid_after_utc.timestamp())
            for root in (authority(), authority("another root"))
        ),
        f"cluster.origin.{name.format('of_file')}": int(LATER.certificate.not_valid_after_utc.timestamp()),
    }
    assert metrics.gauges["server.days_until_first_cert_expiring"] == 5
    assert 86_000 < metrics.gauges["server.seconds_until_first_ocsp_response_expiring"] <= 86_400
    assert metrics.counters["sds.of_file.update_attempt"] == 3
    assert metrics.counters["cluster.origin.client_ssl_socket_factory.ssl_context_update_by_sds"] == 1
    assert metrics.counters[f"{INSIDE}server_ssl_socket_factory.ssl_context_update_by_sds"] == 0


def test_expired_certificates_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    over = authority().issue("a.test", name="over", days=-2)
    two = {"tls_certificates": [certificate(over)], "validation_context": {"trusted_ca": inline(over.chain)}}
    TlsStats(compiled(downstream(common=two))).warn()
    (record,) = caplog.records
    assert record.getMessage().startswith("listener main: the certificate CN=over (<inline>) expired 20")


def test_stats_without_tls() -> None:
    metrics = Metrics()
    TlsStats(compiled(bootstrap())).add(metrics)
    assert metrics == Metrics()


def test_the_command(tmp_path: Path) -> None:
    with live_view(configured(tmp_path)) as view, serving(view, tmp_path):
        shown = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path), "certs"])
        assert shown.exit_code == 0
        first, second = shown.stdout.splitlines()[1:3]
        assert first.startswith("listener main   own  CN=soon")
        assert second.startswith("cluster origin  own  CN=later")
        few = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path), "certs", "--min-days", "6", "--json"])
        assert few.exit_code == 1
        assert [entry["subject"] for entry in json.loads(few.stdout)["data"]] == ["CN=soon"]
        none = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path), "certs", "--min-days", "5"])
        assert (none.exit_code, none.stdout) == (0, "")
        assert none.stderr == "every certificate has 5 days or more left\n"


def test_the_command_without_tls(tmp_path: Path) -> None:
    with live_view(compiled(bootstrap())) as view, serving(view, tmp_path):
        shown = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path), "certs"])
        assert (shown.exit_code, shown.stderr) == (0, "there are no certificates\n")
