"""The host and path of a request, made what routing and the upstream are to see (features §13 rules 2, 12, 13)."""

from __future__ import annotations

from proxy.config.target import TargetRules
from proxy.errors import ProxyError
from proxy.http import path_normalization
from proxy.http.authority import port_start
from proxy.http.request import Request

FAILED = "path_normalization_failed"
REDIRECT_STATUS = 307


class Target:
    """The rules of one connection manager (`ConnectionManagerUtility::maybeNormalizePath`, `maybeNormalizeHost`)."""

    __slots__ = ("_merge", "_normalize", "_rules", "_slashes", "changes_paths")

    def __init__(self, rules: TargetRules) -> None:
        self._rules = rules
        self._slashes = rules.escaped_slashes
        self._normalize = rules.normalize_path
        self._merge = rules.merge_slashes
        self.changes_paths = self._normalize or self._merge or self._slashes != "KEEP"

    def keeps(self, path: bytes) -> bool:
        """Whether `path` is certainly not changed."""
        return not self.changes_paths or path_normalization.PLAIN.fullmatch(path) is not None

    def apply_to_path(self, request: Request) -> None:
        """Raises `ProxyError` (400, 307). The path is then as far as it came, for the log."""
        if request.path[:1] != b"/":
            return
        redirects = False
        if self._slashes != "KEEP":
            unescaped = path_normalization.unescape_slashes(request.path)
            redirects = unescaped != request.path and self._slashes == "REDIRECT"
            refused = unescaped != request.path and self._slashes == "REJECT"
            request.path = unescaped
            if refused:
                raise _refused()
        if self._normalize:
            normal = path_normalization.normalize(request.path)
            if normal is None:
                raise _refused()
            request.path = normal
        if self._merge:
            request.path = path_normalization.merge_slashes(request.path)
        if redirects:
            headers = ((b"location", request.path),)
            raise ProxyError(FAILED, side="downstream", status=REDIRECT_STATUS, headers=headers)

    def apply_to_host(self, request: Request, port: bytes) -> None:
        """`port` is the listener's, empty for none."""
        if self._rules.strip_trailing_dot or self._rules.strip_port:
            request.authority = self._host(request.authority, port)

    def _host(self, authority: bytes, port: bytes) -> bytes:
        colon = port_start(authority)
        if self._rules.strip_trailing_dot:
            if authority.endswith(b"."):
                authority = authority[:-1]
            elif colon > 0 and authority[colon - 1 : colon] == b".":
                authority = authority[: colon - 1] + authority[colon:]
            colon = port_start(authority)
        strip, given = self._rules.strip_port, authority[colon + 1 :]
        if (
            colon > 0
            and given.isdigit()
            and (strip == "any" or (strip == "matching" and port and given.lstrip(b"0") == port))
        ):
            return authority[:colon]
        return authority


def _refused() -> ProxyError:
    return ProxyError(FAILED, side="downstream", status=400, close=True)
