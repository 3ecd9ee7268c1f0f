"""Every set field of a message tree, through Any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from master.config import any_types, well_known

Path = tuple[str | int, ...]
# (path, the message that holds the field, the field, its value: one element where the field is repeated)
Step = tuple[Path, Message, FieldDescriptor, Any]


def walk(message: Message, path: Path = ()) -> Iterator[Step]:
    """Depth first, parents before their children.

    Paths are in proto spelling: a field's name, then the index of a repeated field or the key of a map. A repeated
    field or map yields one step for each element. An Any yields its field, then the fields of the message in it, under
    the same path. Messages with a JSON form of their own (Duration, Struct, wrappers …) are leaves.
    """
    for field, value in message.ListFields():
        here = (*path, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            is_message = field.message_type.fields_by_name["value"].message_type is not None
            for key in value:
                yield from _element((*here, _key(key)), message, field, value[key], is_message)
        elif field.is_repeated:
            for index, element in enumerate(value):
                yield from _element((*here, index), message, field, element, field.message_type is not None)
        else:
            yield from _element(here, message, field, value, field.message_type is not None)


def unpack(message: Any) -> Message | None:
    """The message in an Any; None if it is empty, of an unknown type, or damaged."""
    kind = any_types.find(any_types.split_url(message.type_url) or "")
    if kind is None:
        return None
    try:
        inner: Message = kind.FromString(message.value)
    except DecodeError:
        return None
    return inner


def _element(path: Path, holder: Message, field: FieldDescriptor, value: Any, is_message: bool) -> Iterator[Step]:
    yield path, holder, field, value
    if not is_message:
        return
    name = value.DESCRIPTOR.full_name
    if name == "google.protobuf.Any":
        inner = unpack(value)
        if inner is not None and inner.DESCRIPTOR.full_name not in well_known.FILLERS:
            yield from walk(inner, path)
    elif name not in well_known.FILLERS:
        yield from walk(value, path)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
