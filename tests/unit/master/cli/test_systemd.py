"""`proxyctl systemd install`: what it prints, writes and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from master.cli.main import main
from master.units import access
from tests.kit.bootstrap import one_cluster

FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There is a `proxyctl`, and the service may read everything."""
    (tmp_path / "proxyctl").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "proxyctl")])
    monkeypatch.setattr(access, "faults", lambda *_: iter(()))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "envoy.yaml"
    path.write_text(one_cluster(1).replace("port_value: 0", "port_value: 80"))
    return path


def install(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["systemd", "install", *map(str, arguments)])


def test_a_dry_run_prints_and_writes_nothing(config: Path, tmp_path: Path) -> None:
    result = install("-c", config, "--socket", "80", "--unit-dir", tmp_path / "units", "--dry-run", "--user", "web")
    assert result.exit_code == 0
    assert f"ExecStart={tmp_path}/proxyctl run -c {config} " in result.stdout
    assert "ListenStream=127.0.0.1:80" in result.stdout
    assert "User=web" in result.stdout
    assert not (tmp_path / "units").exists()


def test_a_log_in_the_directory_that_the_unit_makes(tmp_path: Path) -> None:
    path = tmp_path / "envoy.yaml"
    log = {"@type": FILE_LOG, "path": "/var/log/no-such-service/access.log"}
    path.write_text(one_cluster(1, access_log=[{"name": "envoy.access_loggers.file", "typed_config": log}]))
    options = ("-c", path, "--unit-dir", tmp_path, "--dry-run")
    made = install(*options, "--name", "no-such-service")
    assert made.exit_code == 0, made.stderr
    assert install(*options, "--name", "another").exit_code == 3


def test_it_writes_and_says_what_comes_next(config: Path, tmp_path: Path) -> None:
    drained = ("--", "--shutdown-drain-time-s", "100")
    result = install("-c", config, "--name", "edge", "--unit-dir", tmp_path, *drained)
    assert result.exit_code == 0, result.stderr
    assert "systemctl enable --now edge.service" in result.stderr
    assert "TimeoutStopSec=115" in (tmp_path / "edge.service").read_text()
    assert "unchanged" in install("-c", config, "--name", "edge", "--unit-dir", tmp_path, *drained).stderr


def test_a_foreign_unit_stays(config: Path, tmp_path: Path) -> None:
    (tmp_path / "trireme.service").write_text("[Service]\n")
    result = install("-c", config, "--unit-dir", tmp_path)
    assert result.exit_code == 5
    assert (tmp_path / "trireme.service").read_text() == "[Service]\n"


def test_what_the_service_cannot_read_is_refused(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "faults", lambda *_: iter(["it may not read that"]))
    result = install("-c", config, "--unit-dir", tmp_path)
    assert (result.exit_code, result.stderr) == (5, "error: it may not read that\n")
    assert not (tmp_path / "trireme.service").exists()


def test_no_command_to_start(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    assert "pip install" in install("-c", config, "--dry-run").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--socket", "81"], 2, "no listener has the port or address 81; there are 127.0.0.1:80"),
        (["--name", "../x"], 2, "--name"), (["--", "--no-such-option"], 2, "--no-such-option"),
    ],
)  # fmt: skip
def test_usage(config: Path, arguments: list[str], code: int, words: str) -> None:
    result = install("-c", config, "--dry-run", *arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_an_invalid_configuration(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("nothing: here")
    result = install("-c", tmp_path / "bad.yaml", "--dry-run")
    assert result.exit_code == 3
    assert "proxyctl validate -c" in result.stderr
