"""`/`: the home page, a table of the pages that can be looked at."""

from __future__ import annotations

import html

from master.admin.page import HTML, Context, Page, Reply, Request
from master.admin.pages import PAGES

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Trireme admin</title>
<style>
body { font-family: sans-serif; margin: 2em; }
td { padding: 0.3em 1em 0.3em 0; }
</style>
</head>
<body>
<h1>Trireme admin</h1>
<table>
"""
_TAIL = "</table>\n</body>\n</html>\n"


def _row(page: Page) -> str:
    path, text = html.escape(page.path), html.escape(page.help)
    # What changes something is not a link: a page must not be able to do it with a click.
    name = f"<code>POST {path}</code>" if page.mutates else f'<a href="{path.lstrip("/") or "."}">{path}</a>'
    return f"<tr><td>{name}</td><td>{text}</td></tr>\n"


async def page(request: Request, context: Context) -> Reply:
    return Reply((_HEAD + "".join(_row(entry) for entry in PAGES) + _TAIL).encode(), HTML)
