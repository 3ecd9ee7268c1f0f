"""`POST /logging`: show and change the level of each component, in every process."""

from __future__ import annotations

import math
from collections.abc import Mapping

from master.admin.page import BadRequest, Context, Reply, Request
from proxy.log import LEVELS

_USAGE = (
    "usage: /logging?<name>=<level> (change single level)\n"
    "usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n"
    "usage: /logging?level=<level> (change all levels)\n"
    "usage: /logging?…&for=<seconds> (take the change back by itself)\n"
    f"levels: {' '.join(LEVELS)} \n"
)
MAX_SECONDS = 7 * 86_400


async def page(request: Request, context: Context) -> Reply:
    view = context.view
    try:
        query = dict(request.query)
        seconds = _seconds(query.pop("for", None))
        levels = wanted(query, view.log_levels)
    except ValueError as error:
        raise BadRequest(f"error: {error}\n\n{_USAGE}{_active(view.log_levels)}") from error
    if levels:
        await view.set_log_levels(levels, seconds=seconds)
    return Reply(_active(view.log_levels).encode())


def wanted(query: Mapping[str, str], components: Mapping[str, str]) -> dict[str, str]:
    """The levels that `query` asks for, by component; none if it only asks. Raises ValueError with Envoy's words."""
    query = {name: value for name, value in query.items() if value}  # a form sends what was left empty, too
    if not query:
        return {}
    if len(query) > 1:
        raise ValueError("invalid number of parameters")
    ((name, value),) = query.items()
    if name == "level":
        return dict.fromkeys(components, _level(value))
    if name == "group":
        raise ValueError(
            "group parameter requires fine-grain logging to be enabled"
        )  # one level for each file: never here
    pairs = [part.partition(":")[::2] for part in value.split(",") if part] if name == "paths" else [(name, value)]
    levels = {}
    for component, level in pairs:
        if not component or not level:
            raise ValueError("empty logger name or empty logger level")
        levels[component] = _level(level)
    if not levels.keys() <= components.keys():
        raise ValueError("unknown logger name")
    return levels


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError("unknown logger level")
    return text


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"`for` is a number of seconds, at most {MAX_SECONDS}")
    return seconds


def _active(levels: Mapping[str, str]) -> str:
    return "active loggers:\n" + "".join(f"  {name}: {level}\n" for name, level in levels.items()) + "\n"
