"""Messages packed in `google.protobuf.Any`."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

ANY = "google.protobuf.Any"


def type_name(value: Any) -> str:
    """Full name of the message type in `value`, without `type.googleapis.com/`; "" if there is none."""
    return str(value.type_url.rpartition("/")[2])


def unpack(value: Any) -> Message:
    """The message in `value`. Its type is known: the loader refuses others."""
    message = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(type_name(value)))()
    message.ParseFromString(value.value)
    return message
