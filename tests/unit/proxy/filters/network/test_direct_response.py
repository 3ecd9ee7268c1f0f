"""The network filter that answers every connection alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.config import compiled, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import serving

CONFIG = "envoy.extensions.filters.network.direct_response.v3.Config"


def with_response(response: str) -> str:
    return f"""
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains: [{{filters: [{{name: d, typed_config: {{
      "@type": type.googleapis.com/{CONFIG}, response: {{{response}}}}}}}]}}]
"""


@run_trio
@pytest.mark.field(f"{CONFIG}.response", "envoy.config.core.v3.DataSource.inline_string")
async def test_the_same_for_everybody() -> None:
    async with serving(compiled(with_response("inline_string: bye"))) as rig:
        assert await rig.ask(b"") == b"bye"
        assert await rig.ask(b"x" * 100_000) == b"bye"
        await rig.quiet()


@run_trio
@pytest.mark.field("envoy.config.core.v3.DataSource.inline_bytes")
async def test_bytes() -> None:
    async with serving(compiled(with_response("inline_bytes: /wA="))) as rig:
        assert await rig.ask(b"") == b"\xff\0"


@run_trio
@pytest.mark.field("envoy.config.core.v3.DataSource.filename")
async def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "bye").write_bytes(b"from a file")
    async with serving(compiled(with_response(f"filename: {tmp_path}/bye"))) as rig:
        assert await rig.ask(b"") == b"from a file"


@run_trio
@pytest.mark.field("envoy.config.core.v3.DataSource.environment_variable")
async def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BYE", "from the environment")
    async with serving(compiled(with_response("environment_variable: BYE"))) as rig:
        assert await rig.ask(b"") == b"from the environment"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (found,) = findings(with_response(f"filename: {tmp_path}/none"))
    assert found.field_path.endswith("typed_config.response.filename")
    assert "No such file" in found.message
    (found,) = findings(with_response("environment_variable: NOT_SET_ANYWHERE"))
    assert found.field_path.endswith("typed_config.response.environment_variable")
