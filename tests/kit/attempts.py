"""One request through Envoy and through our proxy, and all that can be told of it: what the client got, what the origin
saw of each attempt, the access log, and what the clusters counted.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.kit.bootstrap import Fields, bootstrap, http_listener, static_cluster, virtual_host
from tests.kit.client import Connection, ConnectionEnded, fetch
from tests.kit.envoy import Envoy
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import FLUSH_SOON, Proxy

LOG = {
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "received": "%BYTES_RECEIVED%",
}
VOLATILE = {"x-request-id", "date", "x-envoy-upstream-service-time", "content-length"}
COUNTED = re.compile(r"cluster\..*\.(upstream_rq_|internal|upstream_cx_total|retry|shadow)")
NOT_COUNTED = re.compile(r".*((_active|_time|pending_total|completed|_\dxx)$|\.hidden\.)")
_serial = itertools.count(1)


class Side:
    """One of the two proxies."""

    def __init__(self, proxy: Envoy | Proxy, origin: Origin) -> None:
        self.proxy = proxy
        self._origin = origin
        self._log = Path(proxy.directory) / "access.log"

    @property
    def logged(self) -> int:
        """How many lines the access log has."""
        return len(self._lines())

    def ask(self, path: str, script: str, headers: str = "", body: bytes | None = None, method: str = "GET") -> Fields:
        """What became of one request; `script` is the origin's."""
        key = f"k{next(_serial)}"
        lines, before = self._lines(), self._counters()
        length = "" if body is None else f"content-length: {len(body)}\r\n"
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: h.example:81\r\nx-script: key={key}&{script}\r\n{length}{headers}\r\n"
        )
        outcome = self._request(head.encode() + (body or b""), method)
        wait_for(lambda: len(self._lines()) > len(lines), deadline=20, what="the access log is written")
        (line,) = self._lines()[len(lines) :]
        counted = {
            name: value - before.get(name, 0)
            for name, value in self._counters().items()
            if value != before.get(name, 0)
        }
        return {**outcome, "log": json.loads(line), "counted": counted, "attempts": self.told(key), "key": key}

    def told(self, key: str) -> list[Fields]:
        """What the origin saw of the request's attempts."""
        answer = fetch(("127.0.0.1", self._origin.port), f"GET /?told={key} HTTP/1.1\r\nhost: o\r\n\r\n".encode())
        found: list[Fields] = json.loads(answer.body)
        for echo in found:
            del echo["connection"], echo["request"]
            echo["headers"] = [
                [name, "*" if name in VOLATILE else value] for name, value in echo["headers"] if name != "x-script"
            ]
        return found

    def _request(self, data: bytes, method: str) -> Fields:
        with Connection(self.proxy.address()) as connection:
            try:
                connection.send(data)
                response = connection.receive(method=method)
            except ConnectionEnded as ended:
                return {"status": 0, "partial": ended.partial.partition(b"\r\n")[0]}
        echoed = response.body.startswith(b'{"origin"')
        return {
            "status": response.status,
            "headers": [[name, "*" if name in VOLATILE else value] for name, value in response.headers],
            "body": b"(echo)" if echoed else response.body,
        }

    def _lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def _counters(self) -> dict[str, int]:
        stats = self.proxy.stats()
        return {n: v for n, v in stats.items() if COUNTED.match(n) and not NOT_COUNTED.match(n)}


class Both:
    """`assert_same` asks both and compares; it returns ours."""

    def __init__(self, envoy: Side, ours: Side) -> None:
        self.envoy, self.ours = envoy, ours

    def ask(self, path: str, script: str, **request: Any) -> tuple[Fields, Fields]:
        """Envoy's and ours."""
        return self.envoy.ask(path, script, **request), self.ours.ask(path, script, **request)

    def assert_same(self, path: str, script: str, **request: Any) -> Fields:
        envoy, ours = self.ask(path, script, **request)
        for found in (envoy, ours):
            del found["key"]
            for echo in found["attempts"]:
                rounded(echo)
        different = [
            f"{key}: ours {ours.get(key)}, Envoy's {envoy.get(key)}" for key in envoy if ours.get(key) != envoy[key]
        ]
        assert not different, "\n".join(different)
        return ours


def rounded(echo: Fields) -> None:
    """What an upstream is told of the time that is left varies by milliseconds."""
    echo["headers"] = [
        [name, _roughly(int(value)) if name == "x-envoy-expected-rq-timeout-ms" else value]
        for name, value in echo["headers"]
    ]


def _roughly(milliseconds: int) -> str:
    return f"{-(-milliseconds // 1000)}s" if milliseconds > 2000 else str(round(milliseconds, -2))


@contextmanager
def both(
    *routes: Fields, host: Fields | None = None, clusters: list[Fields] | None = None, origin: Origin, **hcm: Any
) -> Iterator[Both]:
    """Both proxies on `routes` to the cluster `origin` and to `clusters`; `host` are fields of the virtual host."""
    log = {
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "{directory}/access.log",
            "log_format": {"json_format": LOG},
        },
    }
    listener = http_listener({**virtual_host("v", ["*"], *routes), **(host or {})}, access_log=[log], **hcm)
    text = bootstrap([listener], [static_cluster("origin", origin.port), *(clusters or [])])
    with ExitStack() as stack:
        envoy = stack.enter_context(Envoy(text, arguments=("--file-flush-interval-msec", "20")))
        ours = stack.enter_context(Proxy(text, environment=FLUSH_SOON))
        yield Both(Side(envoy, origin), Side(ours, origin))
