"""What a check found."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """`fault`: it will not work so. `warning`: it works, but not as well, or not for as long. `ok` needs no remedy."""

    check: str
    level: Literal["ok", "warning", "fault"]
    text: str
    remedy: str = ""
