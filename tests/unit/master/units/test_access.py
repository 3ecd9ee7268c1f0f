"""Files that a sandboxed service cannot use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from master.units.access import faults


def test_what_lies_in_tmp_is_not_seen() -> None:
    found = list(faults("", "/usr/bin/proxyctl", "/var/tmp/envoy.yaml"))
    assert any("/var/tmp/envoy.yaml cannot be seen by the service" in fault for fault in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask for another user")
def test_a_file_that_the_service_may_not_read(tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text("")
    config.chmod(0o600)
    assert any(
        f"the service's user may not read {config}" in fault for fault in faults("", "/usr/bin/proxyctl", str(config))
    )
