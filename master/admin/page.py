"""What a page is: a request in, a reply out, and the words that help and dispatch need."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from master.admin.view import ServerView
    from master.stats.aggregate import Intervals

TEXT = "text/plain; charset=UTF-8"
HTML = "text/html; charset=UTF-8"
JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """`query` holds the first value of each parameter, decoded; a parameter without a value has "". `parameters` are
    all of them, in order.
    """

    method: str
    path: str
    query: Mapping[str, str]
    parameters: Sequence[tuple[str, str]] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """`body` is sent in pieces; `finish`, if set, is run once the reply has gone out (a shutdown, for instance)."""

    body: bytes
    content_type: str = TEXT
    status: int = 200
    finish: Callable[[], Awaitable[None]] | None = None


class BadRequest(Exception):
    """A parameter that the page cannot use: 400 with this message."""

    status = 400


class NotFound(BadRequest):
    """What a parameter names does not exist: 404 with this message."""

    status = 404


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What pages read besides the request."""

    view: ServerView
    intervals: Intervals


Handler = Callable[[Request, Context], Awaitable[Reply]]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One line of the table of pages.

    `handler` is "module:function" below `master.admin.pages`. `mutates`: only POST is allowed. `parameters` are
    (name, help, choices).
    """

    path: str
    help: str
    handler: str
    mutates: bool = False
    parameters: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
