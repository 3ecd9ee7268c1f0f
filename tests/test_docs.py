"""Documentation that can be wrong is checked: generated pages are current, links lead somewhere, commands exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from master.cli.main import COMMANDS, main
from proxy.access_log.operators import NOT_SUPPORTED, OPERATORS
from tools import supported_fields

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")))


def test_supported_fields_are_current() -> None:
    assert supported_fields.PAGE.read_text() == supported_fields.render(), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_shown_exist(page: Path) -> None:
    shown = set(re.findall(r"(?:`|\$ )proxyctl (?:--runtime-dir \S+ )?([a-z-]+)", page.read_text()))
    assert shown - {entry.name for entry in COMMANDS} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_are_shown_exist(page: Path) -> None:
    commands = [main, *(importlib.import_module(entry.module).command for entry in COMMANDS)]
    commands += [
        part for command in commands[1:] if isinstance(command, click.Group) for part in command.commands.values()
    ]
    known = {
        name for command in commands for option in command.params for name in (*option.opts, *option.secondary_opts)
    }
    shown = {
        option
        for line in page.read_text().splitlines()
        if "proxyctl" in line or re.match(r"`--", line)
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", line)
    }
    assert shown - known == set()


def test_the_readme_shows_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    assert [
        entry.name for entry in COMMANDS if not re.search(rf"`(proxyctl )?{entry.name}\b|proxyctl {entry.name}\b", text)
    ] == []


def test_every_operator_is_in_the_page_about_access_logs() -> None:
    page = (ROOT / "docs/access-log.md").read_text()
    shown = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", page))
    assert shown >= {*OPERATORS, *NOT_SUPPORTED}
