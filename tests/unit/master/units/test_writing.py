"""Units on disk: ours are replaced, others never."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from master.units.writing import OURS, ForeignUnitError, write


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    units = {"a.service": f"{OURS} 1\n", "a.socket": f"{OURS} 2\n"}
    assert write(tmp_path, units) == ["a.service", "a.socket"]
    assert write(tmp_path, units) == []
    assert write(tmp_path, units | {"a.socket": f"{OURS} 3\n"}) == ["a.socket"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == units | {"a.socket": f"{OURS} 3\n"}
    assert stat.S_IMODE((tmp_path / "a.service").stat().st_mode) == 0o644


def test_the_unit_of_somebody_else_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "b.socket").write_text("[Socket]\n")
    with pytest.raises(ForeignUnitError, match=r"b\.socket was not written by this command"):
        write(tmp_path, {"b.service": f"{OURS} 1\n", "b.socket": f"{OURS} 2\n"})
    assert [path.name for path in tmp_path.iterdir()] == ["b.socket"]
