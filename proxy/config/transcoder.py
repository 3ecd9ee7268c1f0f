"""What `grpc_json_transcoder` is to do."""

from __future__ import annotations

import msgspec


class TranscoderConfig(msgspec.Struct, frozen=True):
    """`GrpcJsonTranscoder`. Without `services` the filter does nothing. Sizes are those of bodies; 0: the listener's
    `per_connection_buffer_limit_bytes`. `delimiter` is what streamed messages are told apart by: "array", "lines" or
    "events". What `reject_…` name is refused, and not passed on as it is.
    """

    descriptors: bytes = b""
    services: tuple[str, ...] = ()
    auto_mapping: bool = False
    keep_route: bool = False
    ignored_query: tuple[str, ...] = ()
    ignore_unknown_query: bool = False
    convert_status: bool = False
    unescape: str = "ALL_CHARACTERS_EXCEPT_RESERVED"
    unescape_plus: bool = False
    any_verb: bool = False
    any_case: bool = False
    reject_methods: bool = False
    reject_query: bool = False
    reject_collisions: bool = False
    request_limit: int = 0
    response_limit: int = 0
    delimiter: str = "array"
    whitespace: bool = False
    primitives: bool = False
    enums_as_ints: bool = False
    proto_names: bool = False
