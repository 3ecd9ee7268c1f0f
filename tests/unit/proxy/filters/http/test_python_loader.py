"""Where modules of filters are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from proxy.filters.http.python_loader import LoadError, append_paths, decode, load


def test_directories_are_appended_so_that_no_file_in_them_replaces_ours_or_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    append_paths([str(tmp_path), str(tmp_path)])
    assert sys.path == [*before, str(tmp_path)]
    (tmp_path / "proxy.py").write_text("raise AssertionError")
    (tmp_path / "wave.py").write_text("raise AssertionError")
    for module in ("proxy", "wave"):
        with pytest.raises(LoadError, match="has no 'Filter'"):
            load(module, "Filter")


@pytest.mark.parametrize(
    ("config_type", "value", "path"),
    [
        (dict[str, list[int]], {"a": [1, "b"]}, ()),
        (list[int], [1, "b"], (1,)),
        (int, "[1]", ()),
        (list[int], '[1, "b"]', (1,)),
    ],
)
def test_a_fault_has_its_path_as_far_as_it_is_known(config_type: object, value: object, path: tuple[int, ...]) -> None:
    with pytest.raises(LoadError) as caught:
        decode(config_type, value)
    assert caught.value.path == path


def test_nothing_is_an_empty_object() -> None:
    assert decode(dict[str, int], None) == {}
    assert decode(None, None) is None
