"""`/stats?format=html` and `active-html`: a form that asks again, and a table that follows what changes.

Both pages are whole: they load nothing but `/stats` itself, and nothing on them can change the proxy.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping

Parameter = tuple[str, str, tuple[str, ...]]
"""(name, help, choices), as in the table of pages."""

FLAGS = ("usedonly", "invert_filter")
"""Parameters whose mere presence counts."""

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Trireme stats</title>
<style>
body { font-family: sans-serif; margin: 1em; }
td, th { padding: 0.2em 1em 0.2em 0; text-align: left; }
.value { font-family: monospace; }
pre { white-space: pre-wrap; }
</style>
</head>
<body>
<form action="stats" method="get" id="stats">
<table>
"""
_SCRIPT = """<script>
"use strict";
const form = document.getElementById("stats");
const seen = new Map();  // name -> {value, changes}

function show(name, value) {
  const text = String(value);
  const stat = seen.get(name);
  if (stat === undefined) {
    seen.set(name, {value: text, changes: 0});
  } else if (stat.value !== text) {
    stat.value = text;
    stat.changes += 1;
  }
}

function read(stats) {
  for (const stat of stats) {
    if (stat.histograms === undefined) {
      show(stat.name, stat.value);
    } else {
      const shown = stat.histograms.supported_quantiles;
      for (const one of stat.histograms.computed_quantiles) {
        show(one.name, one.values.map((v, at) => "P" + shown[at] + "=" + v.cumulative).join(" "));
      }
    }
  }
}

function draw() {
  const limit = Number(document.getElementById("active-max-display-count").value) || 50;
  const order = [...seen].sort((a, b) => b[1].changes - a[1].changes || (a[0] < b[0] ? -1 : 1));
  const rows = order.slice(0, limit).map(([name, stat]) => {
    const row = document.createElement("tr");
    for (const text of [stat.changes, name, stat.value]) {
      row.insertCell().textContent = text;  // never as HTML: names come from configurations
    }
    return row;
  });
  document.getElementById("active").replaceChildren(...rows);
}

async function update() {
  const seconds = Number(document.getElementById("active-update-interval").value) || 5;
  const status = document.getElementById("active-status");
  try {
    const query = new URLSearchParams(new FormData(form));
    query.set("format", "json");
    const answer = await fetch("stats?" + query);
    if (!answer.ok) {
      throw new Error(await answer.text());
    }
    read((await answer.json()).stats);
    draw();
    status.textContent = "updated " + new Date().toLocaleTimeString();
  } catch (error) {
    status.textContent = "not updated: " + error.message;
  }
  setTimeout(update, Math.max(1, seconds) * 1000);
}

form.addEventListener("change", () => seen.clear());
form.addEventListener("submit", (event) => event.preventDefault());
update();
</script>
"""
_CONTROLS = (
    ("max-display-count", "Maximum number of stats to display", "50"),
    ("update-interval", "Number of seconds between each update", "5"),
)
_TAIL = "</body>\n</html>\n"


def page(parameters: Iterable[Parameter], query: Mapping[str, str], lines: Iterable[str]) -> Iterator[str]:
    """The form filled in as `query` has it, and the stats, which are `lines` of text."""
    yield _HEAD
    for parameter in parameters:
        yield _row(parameter, query, submit=True)
    yield "</table>\n</form>\n<pre>\n"
    for line in lines:
        yield html.escape(line)
    yield "</pre>\n" + _TAIL


def active(parameters: Iterable[Parameter], query: Mapping[str, str]) -> Iterator[str]:
    """The form, and a table that the browser keeps up to date: what changes most often stands first."""
    yield _HEAD
    for parameter in parameters:
        if parameter[0] not in ("format", "histogram_buckets"):
            yield _row(parameter, query, submit=False)
    yield "</table>\n</form>\n<table>\n"
    for name, text, value in _CONTROLS:
        label = f'<label for="active-{name}">{html.escape(text)}</label>'
        yield f'<tr><td><input type="text" id="active-{name}" value="{value}"></td><td>{label}</td></tr>\n'
    yield '</table>\n<p id="active-status"></p>\n<table>\n'
    yield "<thead><tr><th>Changes</th><th>Name</th><th>Value</th></tr></thead>\n"
    yield '<tbody id="active" class="value"></tbody>\n</table>\n'
    yield "<noscript>This page needs JavaScript; <code>format=html</code> does not.</noscript>\n" + _SCRIPT + _TAIL


def _row(parameter: Parameter, query: Mapping[str, str], *, submit: bool) -> str:
    name, text, choices = parameter
    sends = ' onchange="form.submit()"' if submit else ""
    if choices:
        chosen = query.get(name, "")
        options = "".join(_option(choice, selected=choice == chosen) for choice in choices)
        control = f'<select name="{name}" id="param-{name}"{sends}>{options}</select>'
    elif name in FLAGS:
        checked = " checked" if name in query else ""
        control = f'<input type="checkbox" name="{name}" id="param-{name}"{checked}{sends}>'
    else:
        value = html.escape(query.get(name, ""))
        control = f'<input type="text" name="{name}" id="param-{name}" value="{value}"{sends}>'
    return f'<tr><td>{control}</td><td><label for="param-{name}">{html.escape(text)}</label></td></tr>\n'


def _option(choice: str, *, selected: bool) -> str:
    text = html.escape(choice)
    return f'<option value="{text}"{" selected" if selected else ""}>{text}</option>'
