"""Who decides whether the client sees what came of an attempt, or another attempt follows."""

from __future__ import annotations

import enum
from typing import Protocol

from proxy.errors import ProxyError
from proxy.http.events import ResponseReceived
from proxy.http.headers import Headers


class Verdict(enum.Enum):
    """What becomes of a response."""

    DELIVER = enum.auto()
    RETRY = enum.auto()  # another attempt follows
    PASS_OVER = enum.auto()  # another attempt runs already


class Judge(Protocol):
    """Asked at most once per attempt whether it is for the client."""

    def response(self, status: int, headers: Headers) -> Verdict:
        """The head of a response has come."""
        ...

    def informational(self) -> None:
        """A 1xx has come: the response that follows is for the client, whatever it is."""
        ...

    def reset(self, error: ProxyError, *, request_started: bool) -> bool:
        """The attempt ended by `error`; `request_started`: it had a connection. True: another attempt follows, so that
        this one counts as a retried one."""
        ...


class Followed(ProxyError):
    """A redirect that nobody sees, as the proxy follows it itself."""

    def __init__(self, status: int) -> None:
        super().__init__("internal_redirect", side="upstream", status=status)


class Retried(ProxyError):
    """A `response` that nobody sees."""

    def __init__(self, response: ResponseReceived) -> None:
        status = response.status
        super().__init__(f"retried_after_response{{{status}}}", side="upstream", status=status)
        self.response = response
