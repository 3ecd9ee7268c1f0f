"""Regular expressions as Envoy reads them: RE2, whose matching time is linear in the input."""

from __future__ import annotations

import re2

MAX_PROGRAM_SIZE = 100
"""Instructions; Envoy's `re2.max_program_size.error_level`."""


def regex_fault(pattern: str) -> str:
    """Why Envoy refuses `pattern`; "" if it does not."""
    options = re2.Options()
    options.log_errors = False
    try:
        size = re2.compile(pattern, options).programsize
    except re2.error as error:
        return f"invalid regex {pattern!r}: {error.args[0].decode(errors='replace')}"
    if size > MAX_PROGRAM_SIZE:
        return f"regex {pattern!r} has an RE2 program of size {size}, more than {MAX_PROGRAM_SIZE}"
    return ""
