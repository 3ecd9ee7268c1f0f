"""What happens to the host and path of a request before it is routed. Data only."""

from __future__ import annotations

from typing import Literal

import msgspec


class TargetRules(msgspec.Struct, frozen=True, gc=False):
    """Fields of `HttpConnectionManager`. `strip_port`: of the host; `matching`: only the listener's own port."""

    normalize_path: bool = False
    merge_slashes: bool = False
    escaped_slashes: Literal["KEEP", "REJECT", "REDIRECT", "FORWARD"] = "KEEP"
    strip_port: Literal["", "matching", "any"] = ""
    strip_trailing_dot: bool = False
