"""Tables and units."""

from __future__ import annotations

import pytest

from master.cli.output import bytes_shown, duration_shown, print_table


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("NAME", "N"), [("a", 1), ("longer", 100), ("none", None)])
    assert capsys.readouterr().out == "NAME      N\na         1\nlonger  100\nnone      -\n"


def test_a_table_without_rows_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME", "N"), [])
    assert capsys.readouterr().out == "NAME  N\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0ms"), (0.85, "850ms"), (12.9, "12s"), (185, "3m05s"), (7630, "2h07m"), (4 * 86400 + 3 * 3600, "4d03h")],
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration_shown(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(None, None), (5, "5"), (2048, "2.0K"), (12_897_485, "12.3M"), (3 << 30, "3.0G")]
)
def test_sizes(count: int | None, expected: str | None) -> None:
    assert bytes_shown(count) == expected
