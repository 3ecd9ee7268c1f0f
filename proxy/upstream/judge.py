"""Who decides whether the client sees what came of an attempt, or another attempt follows."""

from __future__ import annotations

from typing import Protocol

from proxy.errors import ProxyError
from proxy.http.events import ResponseReceived
from proxy.http.headers import Headers


class Judge(Protocol):
    """Asked at most once per attempt. True: another attempt follows, so that this one counts as a retried one."""

    def response(self, status: int, headers: Headers) -> bool:
        """The head of a response has come."""
        ...

    def reset(self, error: ProxyError, *, request_started: bool) -> bool:
        """The attempt ended by `error`; `request_started`: it had a connection."""
        ...


class Followed(ProxyError):
    """A redirect that nobody sees, as the proxy follows it itself."""

    def __init__(self, status: int) -> None:
        super().__init__("internal_redirect", side="upstream", status=status)


class Retried(ProxyError):
    """A `response` that nobody sees, as another attempt follows."""

    def __init__(self, response: ResponseReceived) -> None:
        status = response.status
        super().__init__(f"retried_after_response{{{status}}}", side="upstream", status=status)
        self.response = response
