"""Parts of routes for parity tests, and requests through both proxies with what they leave in the access logs."""

from __future__ import annotations

from typing import Any

from tests.kit.bootstrap import Fields
from tests.kit.parity import Answers, Pair
from tests.kit.process import wait_for

LOG = "access.log"
FORMAT = (
    "%REQ(:METHOD)% %REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH)% %REQ(:AUTHORITY)% %RESPONSE_CODE% "
    "%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %ROUTE_NAME% %UPSTREAM_CLUSTER% "
    "%REQ(X-FORWARDED-HOST)% %REQ(X-ENVOY-ORIGINAL-HOST)%\n"
)


def access_log() -> list[Fields]:
    """The `access_log` of a connection manager that writes `LOG` in each proxy's own directory."""
    config = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": f"{{directory}}/{LOG}",
        "log_format": {"text_format_source": {"inline_string": FORMAT}},
    }
    return [{"name": "file", "typed_config": config}]


def on(match: Fields | str, **route: Any) -> Fields:
    """A route with any action: `on("/a", redirect={…})`; `match` is a RouteMatch or a prefix."""
    return {"match": {"prefix": match} if isinstance(match, str) else match, **route}


def add(key: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD", **more: Any) -> Fields:
    """A `HeaderValueOption`."""
    return {"header": {"key": key, "value": value}, "append_action": action, **more}


def regex(pattern: str, substitution: str) -> Fields:
    """A `RegexMatchAndSubstitute`."""
    return {"pattern": {"regex": pattern}, "substitution": substitution}


def head(target: str, host: str = "o.test", *lines: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


def ask(pair: Pair, listener: str, data: bytes) -> Answers:
    """Both answers to `data`, which are equal for the client and for the origin."""
    answers = pair.send(data, listener=listener)
    answers.assert_same()
    return answers


def logs(pair: Pair) -> list[list[str]]:
    """The lines of `LOG` so far, Envoy's and ours; waits until there are as many of both."""
    paths = [proxy.directory / LOG for proxy in (pair.envoy, pair.ours)]

    def lines() -> list[list[str]]:
        return [path.read_text().splitlines() if path.exists() else [] for path in paths]

    wait_for(lambda: len(lines()[0]) == len(lines()[1]) > 0, deadline=20, what="as many lines in both access logs")
    return lines()
