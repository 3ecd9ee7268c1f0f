"""The connection manager's fields about the host and path of requests."""

from __future__ import annotations

from typing import Any, Literal

from proxy.config.context import CompileContext
from proxy.config.target import TargetRules

HCM_FIELDS = (
    "normalize_path",
    "merge_slashes",
    "path_with_escaped_slashes_action",
    "strip_matching_host_port",
    "strip_any_host_port",
    "strip_trailing_host_dot",
)
"""Fields of `HttpConnectionManager` that are read here."""

ESCAPED_SLASHES: dict[int, Literal["KEEP", "REJECT", "REDIRECT", "FORWARD"]] = {
    0: "KEEP",  # the implementation's own choice
    1: "KEEP",
    2: "REJECT",
    3: "REDIRECT",
    4: "FORWARD",
}
"""`HttpConnectionManager.PathWithEscapedSlashesAction`."""


def target(message: Any, context: CompileContext) -> TargetRules:
    """The rules of an `HttpConnectionManager`; `context` stands for it."""
    if message.strip_any_host_port and message.strip_matching_host_port:
        context.error((), "strip_any_host_port and strip_matching_host_port are both set", "one of them")
    number = message.path_with_escaped_slashes_action
    escaped = ESCAPED_SLASHES.get(number)
    if escaped is None:
        context.error(("path_with_escaped_slashes_action",), f"{number} is none of its values", "one of their names")
    return TargetRules(
        normalize_path=message.normalize_path.value,
        merge_slashes=message.merge_slashes,
        escaped_slashes=escaped or "KEEP",
        strip_port="any" if message.strip_any_host_port else "matching" if message.strip_matching_host_port else "",
        strip_trailing_dot=message.strip_trailing_host_dot,
    )
