"""What commands print: data on stdout (a table, or JSON with `--json`), narration on stderr, colour if wanted."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click
import msgspec

from master.cli.client import AdminClient, AdminError
from master.cli.runtime_dir import default_runtime_dir

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(function: Command) -> Command:
    """The option `--json` of every command that prints data."""
    option = click.option("--json", "as_json", is_flag=True, help='Print {"data": …, "errors": […]}.')
    return option(function)


def with_client(function: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `function(client, …)` and turns an `AdminError` into text (or JSON) and its exit code."""

    @json_option
    @functools.wraps(function)
    def wrapper(*args: Any, as_json: bool, **kwargs: Any) -> None:
        client = AdminClient(runtime_dir(click.get_current_context()))
        try:
            function(client, *args, as_json=as_json, **kwargs)
        except AdminError as error:
            fail(error, as_json=as_json)

    return wrapper


def runtime_dir(context: click.Context) -> str:
    """`--runtime-dir`, or the default."""
    return context.find_root().params.get("runtime_dir") or default_runtime_dir()


def fail(error: AdminError, *, as_json: bool) -> NoReturn:
    """Report `error` and exit with its code."""
    if as_json:
        print_json(None, errors=[str(error)])
    else:
        note(f"error: {error}")
    sys.exit(error.code)


def print_json(data: Any, *, errors: Sequence[str] = ()) -> None:
    """The one envelope of `--json`."""
    envelope = {"data": data, "errors": [{"message": message} for message in errors]}
    click.echo(msgspec.json.format(msgspec.json.encode(envelope), indent=2).decode())


def note(text: str) -> None:
    """Narration: what happens, for a person."""
    click.echo(text, err=True)


def plain(text: str) -> str:
    """`text` on one line with everything escaped that a terminal would act on: it may come from the network."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as their widest cell; numbers to the right. Headings are bold on a terminal."""
    cells = [[shown(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    numeric = [bool(rows) and all(_is_number(row[at]) for row in rows) for at in range(len(headings))]
    line = _line(headings, widths, numeric)
    click.echo(click.style(line, bold=True) if use_colour() else line)
    for row in cells:
        click.echo(_line(row, widths, numeric))


def use_colour() -> bool:
    """Whether stdout is a terminal and https://no-color.org does not forbid it."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def shown(value: object) -> str:
    """A cell: `-` for what is not known."""
    return "-" if value is None else str(value)


def bytes_shown(count: int | None) -> str | None:
    """`12.3M`, in powers of 1024."""
    if count is None:
        return None
    size = float(count)
    for unit in ("", "K", "M"):
        if size < 1024:
            return f"{size:.1f}{unit}" if unit else f"{count}"
        size /= 1024
    return f"{size:.1f}G"


def duration_shown(seconds: float) -> str:
    """`850ms`, `12s`, `3m05s`, `2h07m`, `4d03h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    whole = int(seconds)
    for unit, smaller, size, step in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // step:02}{smaller}"
    return f"{whole}s"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return "  ".join(padded).rstrip()
