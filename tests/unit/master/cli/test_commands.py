"""The commands against a live admin server on a Unix socket."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from master.cli.main import COMMANDS, main
from proxy.config.common import SocketAddress
from proxy.config.listener import Listener
from proxy.flight_recorder import Record
from proxy.upstream.tables import HostColumn
from shm.processes import Role
from tests.kit.admin import serving
from tests.kit.view import LiveView, configuration, live_view, one_cluster

Run = Callable[..., Result]


@pytest.fixture
def view() -> Iterator[LiveView]:
    config = one_cluster()
    listener = Listener("web", (SocketAddress("127.0.0.1", 8080),), "127.0.0.1_8080", ())
    endpoints = config.endpoints
    with live_view(configuration(config.clusters, listeners=(listener,))) as made:
        made.endpoints = endpoints
        made.add_process(1, Role.CONTROLLER)
        made.add_process(2, Role.WORKER, connections=3)
        made.add_process(3, Role.WORKER, index=1)
        yield made


@pytest.fixture
def run(view: LiveView, tmp_path: Path) -> Iterator[Run]:
    with serving(view, tmp_path):
        yield lambda *arguments: CliRunner().invoke(main, ["--runtime-dir", str(tmp_path), *arguments])


def rows(text: str) -> list[list[str]]:
    """A table's cells."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_every_command_is_in_the_help_and_names_itself() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    for entry in COMMANDS:
        assert re.search(rf"^  {entry.name} +{re.escape(entry.help)}$", shown, re.MULTILINE)


@pytest.mark.parametrize("name", [entry.name for entry in COMMANDS])
def test_every_command_of_the_table_can_be_used(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: main {name} " in result.output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2


def test_ps_shows_a_row_per_process(run: Run) -> None:
    result = run("ps")
    assert result.exit_code == 0
    heading, *processes = rows(result.stdout)
    assert heading[:5] == ["ROLE", "INDEX", "PID", "GEN", "STATE"]
    assert [row[0] for row in processes] == ["controller", "worker", "worker"]
    assert processes[1][2] == str(os.getpid())
    assert processes[1][heading.index("CONNS")] == "3"
    data = json.loads(run("ps", "--json").stdout)
    assert data["errors"] == []
    assert [process["connections"] for process in data["data"]] == [0, 3, 0]


def test_workers_tells_and_changes(view: LiveView, run: Run) -> None:
    assert run("workers").stdout == "2\n"
    assert json.loads(run("workers", "--json").stdout)["data"] == {"workers": 2}
    assert run("workers", "3").exit_code == 0
    assert view.orders == ["workers 3"]
    rejected = run("workers", "9")
    assert (rejected.exit_code, rejected.stdout) == (5, "")
    assert "more than the 4" in rejected.stderr
    assert run("workers", "0").exit_code == 2


def test_stats_in_every_format(view: LiveView, run: Run) -> None:
    view.stats.counter("cluster.back.external.upstream_rq_200").inc(2)
    view.stats.counter("cluster.back.upstream_cx_overflow")
    assert "cluster.back.upstream_rq_2xx: 2\n" in run("stats").stdout
    assert run("stats", "--filter", "back.upstream_cx_overflow").stdout == "cluster.back.upstream_cx_overflow: 0\n"
    assert run("stats", "--filter", "overflow", "--usedonly").stdout.strip() == ""
    assert "# TYPE envoy_cluster_upstream_rq counter" in run("stats", "--format", "prometheus").stdout
    assert json.loads(run("stats", "--format", "json").stdout)["stats"]
    data = json.loads(run("stats", "--json", "--filter", "rq_200$").stdout)["data"]
    assert {"name": "cluster.back.upstream_rq_200", "value": 2} in data
    wrong = run("stats", "--filter", "(")
    assert wrong.exit_code == 2
    assert "Invalid re2 regex" in wrong.stderr


def test_clusters_and_listeners(view: LiveView, run: Run) -> None:
    view.host_writers[1].add(0, HostColumn.RQ_TOTAL, 7)
    _, host = rows(run("clusters").stdout)
    assert host == ["back", "127.0.0.1:1", "healthy", "1", "0", "0", "0", "7", "0"]
    assert json.loads(run("clusters", "--json").stdout)["data"][0]["name"] == "back"
    assert rows(run("clusters", "--filter", "nothing").stdout)[1:] == []
    assert rows(run("listeners").stdout) == [["LISTENER", "ADDRESS"], ["web", "127.0.0.1:8080"]]
    assert json.loads(run("listeners", "--json").stdout)["data"] == [{"name": "web", "address": "127.0.0.1:8080"}]


def test_a_cluster_without_hosts_has_a_row(view: LiveView, run: Run) -> None:
    view.endpoints = type(view.endpoints)(2, {})
    _, empty = rows(run("clusters").stdout)
    assert empty == ["back", *["-"] * 8]


def test_config_dump(run: Run) -> None:
    assert json.loads(run("config-dump").stdout)["configs"][0]["@type"].endswith("BootstrapConfigDump")
    assert len(json.loads(run("config-dump", "--json").stdout)["data"]) == 6
    missing = run("config-dump", "--resource", "nothing", "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["errors"] == [{"message": "nothing not found in config dump"}]


def test_shutdown_gives_the_order(view: LiveView, run: Run) -> None:
    assert run("shutdown").exit_code == 0
    assert run("shutdown", "--now").exit_code == 0
    assert run("listeners").exit_code == 0  # on a new connection, so the orders have been given before
    assert sorted(view.orders) == ["shutdown", "shutdown now"]


def test_shutdown_waits_for_the_supervisor_and_gives_up_in_time(view: LiveView, run: Run) -> None:
    view.add_process(0, Role.SUPERVISOR)  # this process, which goes on
    result = run("shutdown", "--timeout", "0.05")
    assert result.exit_code == 6
    assert "--now" in result.stderr


@pytest.mark.parametrize("arguments", [("ps",), ("workers", "2"), ("stats",), ("shutdown",), ("config-dump",)])
def test_nothing_runs(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path / "none"), *arguments])
    assert (result.exit_code, result.stdout) == (4, "")
    assert "--runtime-dir" in result.stderr
    with_json = CliRunner().invoke(main, ["--runtime-dir", str(tmp_path / "none"), *arguments, "--json"])
    assert with_json.exit_code == 4
    assert "no proxy is running" in json.loads(with_json.stdout)["errors"][0]["message"]


def test_the_environment_names_the_directory(view: LiveView, tmp_path: Path) -> None:
    with serving(view, tmp_path):
        result = CliRunner().invoke(main, ["workers"], env={"TRIREME_RUNTIME_DIR": str(tmp_path)})
    assert result.stdout == "2\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_PROXYCTL_COMPLETE" in result.stdout


def test_version() -> None:
    assert CliRunner().invoke(main, ["version"]).stdout.startswith("proxyctl ")
    assert json.loads(CliRunner().invoke(main, ["version", "--json"]).stdout)["data"]["envoy"] == "1.40.0"


def test_why_says_that_nothing_is_on_record(run: Run) -> None:
    result = run("why")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing on record" in result.stderr


def test_why_escapes_what_a_terminal_would_obey(run: Run, view: LiveView) -> None:
    view.recorder.add(Record(1.0, "failed", 0, method="GET", path="/\x1b[31m\u202e", flags="UF", detail="\x07"))
    shown = run("why").stdout
    assert "/\\x1b[31m\\u202e" in shown
    assert "[\\x07]" in shown


@pytest.mark.parametrize("code", ["UF", "uf", "UPSTREAM_CONNECTION_FAILURE", "response_timeout"])
def test_explain_code_needs_no_proxy(code: str) -> None:
    result = CliRunner().invoke(main, ["explain-code", code, "--json"])
    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)["data"]
    assert row["what"]


def test_explain_code_guesses_what_was_meant() -> None:
    result = CliRunner().invoke(main, ["explain-code", "respons_timeout"])
    assert result.exit_code == 1
    assert "did you mean response_timeout?" in result.stderr


def test_explain_code_lists_everything() -> None:
    lines = CliRunner().invoke(main, ["explain-code"]).stdout.splitlines()
    assert any(line.startswith("UF: ") for line in lines)
    assert any(line.startswith("response_timeout: ") for line in lines)


def test_log_shows_and_changes_levels(run: Run, view: LiveView) -> None:
    assert ["dns", "info"] in rows(run("log").stdout)
    assert run("log", "dns=debug", "--for", "5m").exit_code == 0
    assert view.orders == ["log {'dns': 'debug'} for 300.0"]
    levels = json.loads(run("log", "error", "dns=debug", "--json").stdout)["data"]
    assert set(levels.values()) == {"error", "debug"}
    assert levels["dns"] == "debug"


@pytest.mark.parametrize("arguments", [["dns=loud"], ["nobody=info"], ["dns=debug", "--for", "soon"], ["--for", "5s"]])
def test_log_refuses_what_it_cannot_mean(run: Run, view: LiveView, arguments: list[str]) -> None:
    assert run("log", *arguments).exit_code == 2
    assert view.orders == []


def test_healthcheck_and_drain_give_their_orders(run: Run, view: LiveView) -> None:
    assert run("healthcheck", "fail").exit_code == run("healthcheck", "ok").exit_code == run("drain").exit_code == 0
    assert view.orders == ["health check failed: True", "health check failed: False", "drain web"]


@pytest.mark.parametrize(("wrong", "meant"), [("valdate", "validate"), ("config_dump", "config-dump"), ("xyzzy", "")])
def test_a_wrong_command_names_the_one_that_was_meant(wrong: str, meant: str) -> None:
    result = CliRunner().invoke(main, [wrong])
    assert result.exit_code == 2
    assert (f"did you mean '{meant}'?" in result.stderr) == bool(meant)
