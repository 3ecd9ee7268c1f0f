"""How Envoy prints numbers: three places, three spellings."""

from __future__ import annotations

import math


def shortest(value: float) -> str:
    """`/stats` as text: the shortest digits that read back as `value`, whole numbers without a point; `nan`."""
    text = repr(float(value))
    return text.removesuffix(".0")


def json_number(value: float) -> str:
    """`/stats?format=json`: as `shortest`, but scientific where that is shorter (`3e+05`); `null` for NaN."""
    if math.isnan(value):
        return "null"
    plain = shortest(value)
    digits = plain.replace(".", "").strip("0")
    scientific = f"{value:.{max(len(digits) - 1, 0)}e}"
    return scientific if len(scientific) < len(plain) else plain


def exact(value: float) -> str:
    """Prometheus: up to 32 significant digits of the value's exact decimal expansion; `nan`."""
    return f"{value:.32g}"


def general(value: float) -> str:
    """Bucket bounds in text: six significant digits (`1.8e+06`)."""
    return f"{value:g}"
