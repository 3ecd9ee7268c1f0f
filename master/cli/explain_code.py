"""`proxyctl explain-code`: a response flag or detail in words, offline."""

from __future__ import annotations

from typing import Any

import click

from master.cli.client import AdminError
from master.cli.output import fail, json_option, plain, print_json
from master.config.suggest import nearest
from master.explain import details, settings
from master.explain.flags import FLAGS
from master.explain.story import FAULTS
from proxy.errors import Flag


@click.command("explain-code", short_help="Explain a response flag or detail.")
@click.argument("code", required=False)
@json_option
def command(code: str | None, as_json: bool) -> None:
    """Explain CODE: a response flag (UF, UT, …) or a detail (response_timeout, …), as access logs and `why` show them.

    Without CODE, list all of them.
    """
    found = [_flag(flag) for flag in Flag] + [_detail(name) for name in details.DETAILS]
    if code is not None:
        found = [_flag(flag) for flag in Flag if flag.value == code.upper() or flag.name == code.upper()]
        found = found or [_detail(code) for _ in range(details.find(code) is not None)]
        if not found:
            known = [flag.value for flag in Flag] + list(details.DETAILS)
            guess = nearest(code, known)
            hint = f"; did you mean {guess}?" if guess else "; `proxyctl explain-code` lists all of them"
            fail(AdminError(f"{code!r} is neither a response flag nor a detail of this version{hint}"), as_json=as_json)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(_block(row) if code else plain(_line(row)) for row in found))


def _flag(flag: Flag) -> dict[str, Any]:
    meaning = FLAGS[flag]
    return {
        "code": flag.value,
        "name": flag.name,
        "what": meaning.words,
        "fault": FAULTS[meaning.fault],
        "decided": [],
        "next": meaning.look,
    }


def _detail(name: str) -> dict[str, Any]:
    row = details.find(name)
    assert row is not None
    return {
        "code": name,
        "name": "response code detail",
        "what": row.words,
        "fault": FAULTS[row.fault],
        "decided": [settings.describe(field, None) for field in row.settings],
        "next": row.look,
    }


def _line(row: dict[str, Any]) -> str:
    return f"{row['code']}: {row['what']}"


def _block(row: dict[str, Any]) -> str:
    lines = [f"{row['code']} ({row['name']})", f"  what     {row['what']}", f"  fault    {row['fault']}"]
    lines += [f"  decided  {text}" for text in row["decided"]]
    lines += [f"  next     {row['next']}"] if row["next"] else []
    return "\n".join(plain(line) for line in lines)
