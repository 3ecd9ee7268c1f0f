"""Protobuf messages as trees: what is below a field, and what is packed in `google.protobuf.Any`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

ANY = "google.protobuf.Any"

Path = tuple[str | int, ...]


def type_name(value: Any) -> str:
    """Full name of the message type in an `Any`, without `type.googleapis.com/`; "" if there is none."""
    return str(value.type_url.rpartition("/")[2])


def unpack(value: Any) -> Message:
    """The message in an `Any`. Its type is known: the loader refuses others."""
    message = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name(value)))()
    message.ParseFromString(value.value)
    return message


def messages(field: FieldDescriptor, value: Any) -> Iterator[tuple[Path, Message]]:
    """The messages in a field's value, and how to get from the field to each: list index, map key, or nothing."""
    if field.message_type is None:
        return
    if field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            yield from (((key,), value[key]) for key in sorted(value))
    elif field.is_repeated:
        yield from (((index,), item) for index, item in enumerate(value))
    else:
        yield (), value
