"""`/explain`: what would become of a request, and why. Ours, not Envoy's."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import trio

from master.admin import envoy_json
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.admin.view import ServerView
from master.explain.request.answer import Answer
from master.explain.request.cluster import Counts
from master.explain.request.explain import explain
from master.explain.request.question import Question, QuestionError, read
from master.explain.request.text import lines
from proxy.config.common import Address, PipeAddress, SocketAddress

USAGE = "usage: /explain?method=GET&url=http://host:port/path (help lists the other parameters)\n"

_one_at_a_time = trio.CapacityLimiter(1)
"""A table of 10,000 routes takes seconds to compile: nobody gets the controller busy with several of them."""


async def page(request: Request, context: Context) -> Reply:
    """`header` may come several times, and each may hold several lines."""
    query = request.query
    if "method" not in query or "url" not in query:
        raise BadRequest(USAGE)
    headers = [line for name, value in request.parameters if name == "header" for line in value.split("\n") if line]
    try:
        question = read(
            query["method"],
            query["url"],
            headers,
            source=query.get("source", ""),
            listener=query.get("listener", ""),
            drawn=query.get("random", ""),
        )
        work = functools.partial(_answer, question, context.view)
        answer = await trio.to_thread.run_sync(work, limiter=_one_at_a_time)
    except QuestionError as error:
        raise BadRequest(f"{error}\n") from error
    if query.get("format") == "json":
        return Reply(envoy_json.dump(msgspec.to_builtins(answer)), JSON)
    return Reply("".join(f"{_printable(line.text)}\n" for line in lines(answer)).encode())


def _answer(question: Question, view: ServerView) -> Answer:
    bound = {name: [_address(address) for address in addresses] for name, addresses in view.listeners}
    counts = Counts(view.hosts, view.clusters)
    answer = explain(question, view.config, view.endpoints, bound=bound, counts=counts)
    options = view.options
    path = None if options.get("config_yaml") else options.get("config_path")
    configuration = msgspec.structs.replace(answer.configuration, path=path)
    return msgspec.structs.replace(answer, configuration=configuration)


def _address(text: str) -> Address:
    address: Any = envoy_json.address(text)
    if "pipe" in address:
        return PipeAddress(address["pipe"]["path"])
    where = address["socket_address"]
    return SocketAddress(where["address"], where["port_value"])


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
