"""`proxyctl explain`: what would become of a request, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from google.protobuf import json_format

from master.cli.client import AdminClient, AdminError, UsageError
from master.cli.output import fail, json_option, note, plain, print_json, runtime_dir, use_colour
from master.config import report, source
from master.config.check import check
from master.config.finding import Finding
from master.config.loader import load
from master.explain.request.answer import Answer
from master.explain.request.explain import explain, fingerprint
from master.explain.request.located import located
from master.explain.request.question import QuestionError, read
from master.explain.request.text import lines
from proxy.filters.http.python_loader import append_paths

EXIT_INVALID = 3
EXIT_NO_ROUTE = 7
TIMEOUT = 60.0
"""Seconds for an answer: a table of 10,000 routes takes two to compile, where nothing else is to be done."""


@click.command(short_help="Tell what would become of a request, and why.")
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header line; repeatable.")
@click.option("--source", "client", metavar="ADDRESS", default="", help="Where it comes from.  [default: 127.0.0.1]")
@click.option("--listener", metavar="NAME", default="", help="The listener, if the URL does not tell which.")
@click.option("--random", "drawn", metavar="NUMBER", default="",
              help="What decides where chance would; else the likeliest.")  # fmt: skip
@click.option("-c", "--config-path", metavar="FILE", help="Ask this configuration and not the running proxy.")
@click.option("--config-yaml", metavar="TEXT", help="YAML that is merged over the file.")
@click.option("--allow-unsupported", is_flag=True, help="Take a file with fields that are not supported.")
@click.option("--filter-path", "filter_paths", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="Directory with filters in Python; repeatable.")  # fmt: skip
@json_option
@click.pass_context
def command(
    context: click.Context,
    method: str,
    url: str,
    headers: tuple[str, ...],
    client: str,
    listener: str,
    drawn: str,
    config_path: str | None,
    config_yaml: str | None,
    allow_unsupported: bool,
    filter_paths: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell what the proxy would do with a request, without sending it: the route and why each one before it did not
    match, timeouts, retries, edits of headers, each with the place in the configuration, and the cluster's hosts.

    The host and port of URL say which listener is asked; a path alone will do if there is only one.

    \b
    Exit codes: 0 a route takes it · 7 none does · 2 usage · 3 invalid configuration · 4 not running
    """
    try:
        question = read(method, url, headers, source=client, listener=listener, drawn=drawn)
    except QuestionError as error:
        fail(UsageError(str(error)), as_json=as_json)
    try:
        if config_path is None and config_yaml is None:
            asked = {"method": method, "url": url, "header": "\n".join(headers), "source": client}
            asked |= {"listener": listener, "random": drawn, "format": "json"}
            answer = _of_running(AdminClient(runtime_dir(context)), asked)
        else:
            append_paths(str(Path(path).absolute()) for path in filter_paths)
            sources = _sources(config_path, config_yaml)
            checked = check(sources, allow_unsupported=allow_unsupported, version=1)
            if checked.config is None:
                note(report.render(checked.findings, checked.locate, color=use_colour()))
                sys.exit(EXIT_INVALID)
            answer = located(explain(question, checked.config, checked.config.endpoints), checked.locate)
    except QuestionError as error:
        fail(UsageError(str(error)), as_json=as_json)
    except AdminError as error:
        fail(error, as_json=as_json)
    _print(answer, as_json=as_json)
    sys.exit(0 if answer.matched else EXIT_NO_ROUTE)


def _sources(config_path: str | None, config_yaml: str | None) -> list[source.Source]:
    read = [source.read(config_path)] if config_path is not None else []
    if config_yaml is not None:
        read.append(source.from_option(config_yaml))
    for one in read:
        if isinstance(one, Finding):
            note(report.render([one], lambda path: None, color=use_colour()))
            sys.exit(EXIT_INVALID)
    return [one for one in read if isinstance(one, source.Source)]


def _of_running(client: AdminClient, asked: dict[str, str]) -> Answer:
    query = {name: value for name, value in asked.items() if value}
    answer = msgspec.convert(client.get("/explain", query, timeout=TIMEOUT).json(), Answer)
    return _with_positions(answer)


def _with_positions(answer: Answer) -> Answer:
    """With lines and columns, if the file that the proxy was started with still is what is in effect."""
    path = answer.configuration.path
    text = source.read(path) if path is not None else None
    if not isinstance(text, source.Source):
        return answer
    loaded = load([text])
    if loaded.message is None or _fingerprint(loaded.message) != answer.configuration.fingerprint:
        note(f"{path} has changed since it was loaded: places are paths in the configuration that is in effect")
        return answer
    return located(answer, loaded.locate)


def _fingerprint(message: Any) -> str:
    try:
        text = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    except (json_format.SerializeToJsonError, TypeError):
        return ""
    return fingerprint(json.loads(text))


def _print(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(answer))
        return
    for line in lines(answer):
        text = plain(line.text)
        click.echo(click.style(text, bold=True) if line.heading and use_colour() else text)
