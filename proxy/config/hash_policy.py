"""What of a request is hashed, so that those that say the same go to the same host (`RouteAction.HashPolicy`)."""

from __future__ import annotations

from typing import Literal

import msgspec


class CookieMaker(msgspec.Struct, frozen=True, gc=False):
    """How a cookie is made for a client that has none. `max_age` in seconds, 0 for as long as the client runs."""

    max_age: int = 0
    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


class HashPolicy(msgspec.Struct, frozen=True, gc=False):
    """One thing that is hashed: the header, cookie, query parameter or filter state called `name` (a header's is lower
    case), or the client's IP address. If there is something to hash and it is `terminal`, what follows does not count.

    `pattern` and `substitution` rewrite a header's values before (`regex_rewrite`). `cookie`: it is made where it is
    missing; None if it is not.
    """

    kind: Literal["header", "cookie", "source_ip", "query_parameter", "filter_state"]
    name: str = ""
    terminal: bool = False
    pattern: str = ""
    substitution: str = ""
    cookie: CookieMaker | None = None
