"""Finding a filter of the user's own: a module by its name, in it a class or function, and its configuration's type."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from proxy.python_filter import Filter

HOOKS = ("on_request_headers", "on_response_headers")
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class LoadError(Exception):
    """`what` is at fault: "module", "filter" or "config"; `path` leads into the configuration's value."""

    def __init__(self, what: str, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.what = what
        self.path = path


class Loaded(NamedTuple):
    """A class with `__call__` or hooks, or an async function. `config_type` None: it takes no configuration."""

    target: Callable[..., Any]
    config_type: Any
    route_type: Any

    def create(self, name: str, config: Any) -> Any:
        """The object that stands in the filter chain. Whatever `__init__` raises comes as `LoadError`."""
        if inspect.iscoroutinefunction(self.target):
            return self.target
        try:
            made = self.target(config)
        except (Exception, SystemExit) as error:
            raise LoadError("config", f"{self.target.__name__} refuses its configuration: {_told(error)}") from error
        if isinstance(made, Filter):
            made.name = name
        return made


def append_paths(paths: Iterable[str]) -> None:
    """Directories of filters: behind everything else, so that no file in them replaces a module of ours or Python's."""
    sys.path.extend(path for path in paths if path not in sys.path)


def load(module: str, name: str) -> Loaded:
    """The filter `name` of `module`. Raises `LoadError`."""
    return inspect_filter(_find(_import(module), name), name)


def decode(config_type: Any, value: Any) -> Any:
    """`value` (plain Python; a text may be JSON) as `config_type`. Raises `LoadError`."""
    if config_type is None:
        if value:
            raise LoadError("config", "the filter takes no configuration: it has no Config")
        return None
    try:
        if isinstance(value, str) and config_type is not str:
            value = msgspec.json.decode(value)
        return msgspec.convert({} if value is None else value, config_type)
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        raise LoadError("config", message, _path(at.rstrip("`"))) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise LoadError("config", f"neither a Struct nor JSON: {error}") from error


def _path(text: str) -> tuple[str | int, ...]:
    """msgspec's `.limits[0].size` as a path; `[...]`, any key of a map, ends it."""
    path: list[str | int] = []
    for name, index in _STEP.findall(text):
        if index == "...":
            break
        path.append(name or int(index))
    return tuple(path)


def _import(module: str) -> Any:
    if not all(part.isidentifier() for part in module.split(".")):
        raise LoadError("module", f"{module!r} is not the name of a Python module")
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise LoadError("module", f"there is no Python module {module!r}") from error
        raise LoadError("module", f"importing {module!r} failed: {_told(error)}") from error
    except (Exception, SystemExit) as error:
        raise LoadError("module", f"importing {module!r} failed: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """Class, text, and the file and line where it happened."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames[1:] else ""
    text = str(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{where}"


def _find(module: Any, name: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        raise LoadError("filter", f"module {module.__name__!r} ({module.__file__}) has no {name!r}")
    return found


def inspect_filter(found: Any, name: str) -> Loaded:
    """What `found` is, which is called `name`. Raises `LoadError` unless it is a filter."""
    if inspect.iscoroutinefunction(found):
        return Loaded(found, None, None)
    if not inspect.isclass(found):
        raise LoadError("filter", f"{name!r} is neither a class nor an async function")
    call = next((vars(base)["__call__"] for base in found.__mro__ if "__call__" in vars(base)), None)
    hooks = [hook for hook in HOOKS if hasattr(found, hook)]
    if call is not None and hooks:
        raise LoadError("filter", f"{name!r} has both __call__ and {hooks[0]}: one of the two ways")
    if call is not None and not inspect.iscoroutinefunction(call):
        raise LoadError("filter", f"__call__ of {name!r} is not async")
    if call is None and not hooks:
        raise LoadError("filter", f"{name!r} has neither __call__ nor {' or '.join(HOOKS)}")
    for hook in hooks:
        if inspect.iscoroutinefunction(getattr(found, hook)):
            raise LoadError("filter", f"{hook} of {name!r} is async; a filter that waits has __call__")
    config_type = getattr(found, "Config", None)
    return Loaded(found, config_type, getattr(found, "RouteConfig", config_type))
