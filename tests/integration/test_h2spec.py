"""h2spec, strict, against a running proxy: every case (`docs/conformance.md`). Skips where it is not installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.kit.bootstrap import one_cluster
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

H2SPEC = os.environ.get("H2SPEC") or shutil.which("h2spec")
SUMMARY = "147 tests, 147 passed, 0 skipped, 0 failed"


@pytest.mark.skipif(H2SPEC is None, reason="h2spec is neither on the PATH nor named by H2SPEC")
def test_h2spec_passes_whole() -> None:
    with Origin() as origin, Proxy(one_cluster(origin.port, codec_type="HTTP2"), concurrency=1) as proxy:
        host, port = proxy.address()
        command = [str(H2SPEC), "-h", host, "-p", str(port), "--strict", "--timeout", "5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert SUMMARY in done.stdout, done.stdout[-4000:]
