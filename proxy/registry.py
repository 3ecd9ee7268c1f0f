"""Explicit tables of plug-ins: type URL → "module:Class". Nothing is registered by import side effects.

A table line is a string, so reading a table imports no plug-in; `load` imports the one that a configuration names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


class UnknownPluginError(LookupError):
    """No plug-in of that kind has this type URL."""


def load(table: Mapping[str, str], type_url: str) -> Any:
    """The class that `table` names for `type_url`; raises `UnknownPluginError`."""
    try:
        target = table[type_url]
    except KeyError:
        raise UnknownPluginError(type_url) from None
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
