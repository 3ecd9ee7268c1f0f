"""Reading configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from master.config import source
from master.config.finding import Finding
from master.config.source import Source, from_option, read


@pytest.mark.parametrize(
    ("name", "format"), [("a.yaml", "yaml"), ("a.YML", "yaml"), ("a.json", "json"), ("a.conf", "json"), ("a", "json")]
)
def test_the_extension_chooses_the_format(tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).write_text("{}")
    assert read(str(tmp_path / name)) == Source(str(tmp_path / name), "{}", format)  # type: ignore[arg-type]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfnode: {}")
    found = read(str(tmp_path / "a.yaml"))
    assert isinstance(found, Source)
    assert found.text == "node: {}"
    assert from_option("\ufeffnode: {}").text == "node: {}"


@pytest.mark.parametrize("name", ["a.pb", "a.pb_text"])
def test_binary_forms_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    found = read(str(tmp_path / name))
    assert isinstance(found, Finding)
    assert "not supported" in found.message


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    for path, words in [
        (tmp_path / "absent.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "not UTF-8 (byte 3)"),
    ]:
        found = read(str(path))
        assert isinstance(found, Finding)
        assert (found.kind, str(path) in found.message) == ("file", True)
        assert words in found.message


def test_a_file_larger_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_SOURCE_BYTES", 10)
    (tmp_path / "a.yaml").write_text("a: 1234567")
    assert isinstance(read(str(tmp_path / "a.yaml")), Source)
    (tmp_path / "a.yaml").write_text("a: 12345678")
    found = read(str(tmp_path / "a.yaml"))
    assert isinstance(found, Finding)
    assert "larger than 10 bytes" in found.message
