"""Type URL → message class, importing only the modules that a configuration names.

protoc's naming rule makes an index unnecessary: the package of a message is the folder of its module. All of
xds-protos is imported only to find the type that somebody may have meant.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor

from master.config.suggest import nearest

TYPED_STRUCTS = frozenset({"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})

_ROOTS = ("envoy", "xds", "udpa", "google", "cel")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
# Envoy removed its v2 API; the protos of it are still in the package.
_ENVOY_V3 = re.compile(r"envoy\.(?:.*\.)?v3\.")


def split_url(url: str) -> str | None:
    """The message name of a type URL; None unless it has a host and a name (`host/full.Name`)."""
    host, slash, name = url.rpartition("/")
    return name if slash and host and name else None


@functools.cache
def find(name: str) -> type[Any] | None:
    """The message class called `name` (`envoy.config.core.v3.Node`), or None if Envoy 1.40 has no such type."""
    if not _NAME.fullmatch(name) or not name.startswith(tuple(root + "." for root in _ROOTS)):
        return None
    if name.startswith("envoy.") and not _ENVOY_V3.match(name):
        return None
    descriptor = _known(name)
    for module in _modules_of(name.rpartition(".")[0]):
        if descriptor is not None:
            break
        importlib.import_module(module)
        descriptor = _known(name)
    return None if descriptor is None else message_factory.GetMessageClass(descriptor)


def nearest_type(name: str) -> str:
    """The type somebody may have meant: the v3 successor of a removed v2 type, or the most similar name, or ""."""
    names, successors = all_types()
    if name in successors:
        return successors[name]
    messages: dict[str, list[str]] = {}
    for known in names:
        messages.setdefault(known.rpartition(".")[2], []).append(known)
    short = name.rpartition(".")[2]
    candidates = messages.get(short) or messages.get(nearest(short, messages), [])
    return candidates[0] if len(candidates) == 1 else nearest(name, candidates)


def _known(name: str) -> Descriptor | None:
    try:
        return descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return None


def _modules_of(package: str) -> Iterator[str]:
    """The generated modules of a proto package; those of its parents too, for a message inside a message."""
    while package:
        try:
            folder = importlib.import_module(package)
        except ModuleNotFoundError:
            folder = None
        for module in pkgutil.iter_modules(folder.__path__ if folder else ()):
            if module.name.endswith("_pb2"):
                yield f"{package}.{module.name}"
        if folder is not None:
            return
        package = package.rpartition(".")[0]


@functools.cache
def all_types() -> tuple[list[str], dict[str, str]]:
    """Every type that `find` knows, and the v3 name of each v2 type."""
    names: list[str] = []
    successors: dict[str, str] = {}
    from udpa.annotations import versioning_pb2

    for root in ("envoy", "xds", "udpa"):
        for module in pkgutil.walk_packages(importlib.import_module(root).__path__, root + "."):
            if not module.name.endswith("_pb2"):
                continue
            for descriptor in importlib.import_module(module.name).DESCRIPTOR.message_types_by_name.values():
                if root != "envoy" or _ENVOY_V3.match(descriptor.full_name):
                    names.append(descriptor.full_name)
                    versioning = descriptor.GetOptions().Extensions[versioning_pb2.versioning]
                    if versioning.previous_message_type:
                        successors[versioning.previous_message_type] = descriptor.full_name
    return names, successors
