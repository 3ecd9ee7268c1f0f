"""Regular expressions as Envoy reads them: RE2, whose matching time is linear in the input."""

from __future__ import annotations

import re2


def check_regex(pattern: str) -> str:
    """RE2's own words on what is wrong with `pattern`; "" if nothing is."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0] if error.args else str(error)
        return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return ""
