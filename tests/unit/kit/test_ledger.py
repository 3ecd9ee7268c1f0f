"""The comparison of access logs and counters fails on every difference but those that are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit import ledger
from tests.kit.bootstrap import one_cluster


class Side:
    """Stands for a proxy that has stopped writing."""

    def __init__(self, directory: Path, lines: list[dict[str, Any]], stats: dict[str, int], port: int) -> None:
        directory.mkdir()
        self.directory = directory
        (directory / ledger.NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._stats = stats
        self._port = port

    def stats(self) -> dict[str, int]:
        return self._stats

    def listeners(self) -> dict[str, list[tuple[str, int]]]:
        return {"web": [("127.0.0.1", self._port)]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "PATIENCE", 0.0)


def compare(tmp_path: Path, theirs: tuple[Any, Any], ours: tuple[Any, Any], otherwise: dict[str, str]) -> None:
    sides: list[Any] = [Side(tmp_path / "a", *theirs, port=1001), Side(tmp_path / "b", *ours, port=1002)]
    ledger.assert_same(*sides, otherwise)


LINES = [{"path": "/a", "host": "h:1001"}, {"path": "/b", "host": "h"}]
SAME = [{"path": "/b", "host": "h"}, {"host": "h:1002", "path": "/a"}]


def test_order_places_and_what_counts_time_are_the_same(tmp_path: Path) -> None:
    theirs = {"http.a.rq": 1, "http.a.rq_time": 7, "server.uptime": 3, "http.b.rq": 0}
    compare(tmp_path, (LINES, theirs), (SAME, {"http.a.rq": 1}), {})


@pytest.mark.parametrize("lines", [SAME[:1], [*SAME, SAME[0]], [{**SAME[0], "path": "/c"}, SAME[1]]])
def test_a_line_differs(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    with pytest.raises(AssertionError, match="access logs differ"):
        compare(tmp_path, (LINES, {}), (lines, {}), {})


def test_lines_that_differ_for_a_reason(tmp_path: Path) -> None:
    compare(tmp_path, (LINES, {}), ([*SAME, {"path": "/known"}], {}), {'"/known"': "a reason"})


def test_a_counter_differs(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"http\.a\.rq"):
        compare(tmp_path, ([], {"http.a.rq": 1}), ([], {"http.a.rq": 2}), {r"http\.a": "not the whole name"})


def test_counters_that_differ_for_a_reason(tmp_path: Path) -> None:
    compare(tmp_path, ([], {"http.a.rq": 1}), ([], {}), {r"http\.\w\.rq": "a reason"})


def test_every_connection_manager_keeps_its_own_logs() -> None:
    tree = yaml.safe_load(ledger.recorded(one_cluster(80)))
    (manager,) = ledger._managers(tree)
    again = yaml.safe_load(ledger.recorded(yaml.safe_dump(tree)))
    assert [len(one["access_log"]) for one in (manager, *ledger._managers(again))] == [1, 2]
