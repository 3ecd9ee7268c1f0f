"""`proxyctl validate` from arguments to exit code."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from master.cli.validate import command

VALID = """\
static_resources:
  clusters:
  - {name: a, connect_timeout: 1s}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_valid(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(VALID)
    result = run("-c", str(tmp_path / "e.yaml"))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/e.yaml: valid\n")


def test_all_errors_of_file_and_option(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(VALID.replace("name: a", "nmae: a"))
    result = run("-c", str(path), "--config-yaml", "node: {id: 5}")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        f'{path}:3:6: error: static_resources.clusters[0].nmae: unknown field "nmae" of'
        ' envoy.config.cluster.v3.Cluster; did you mean "name"?',
        "--config-yaml:1:8: error: node.id: the number 5 is not a string; expected a string (write it in quotes)",
        f"{path}: 2 errors",
    ]


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text(VALID.replace("1s", "0s"))
    result = run("-c", str(path), "--json")
    assert result.exit_code == 3
    output = json.loads(result.stdout)
    assert output["data"]["valid"] is False
    (error,) = output["errors"]
    assert (error["file"], error["line"], error["column"]) == (str(path), 3, 15)
    assert (error["path"], error["kind"]) == ("static_resources.clusters[0].connect_timeout", "constraint")
    assert error["expected"] == "more than 0s"


def test_unsupported_fields_are_errors_or_warnings() -> None:
    text = "perf_tracing_file_path: /tmp/p"
    assert run("--config-yaml", text).exit_code == 3
    result = run("--config-yaml", text, "--allow-unsupported")
    assert result.exit_code == 0
    assert "--config-yaml:1:1: warning: perf_tracing_file_path: " in result.stdout
    output = json.loads(run("--config-yaml", text, "--allow-unsupported", "--json").stdout)
    assert (output["data"]["valid"], len(output["data"]["warnings"]), output["errors"]) == (True, 1, [])


def test_unreadable(tmp_path: Path) -> None:
    result = run("-c", str(tmp_path / "absent.yaml"))
    assert result.exit_code == 3
    assert "absent.yaml: No such file or directory" in result.stdout


def test_usage() -> None:
    assert run().exit_code == 2
    assert run("--what").exit_code == 2
