"""gRPC methods as HTTP calls them: what a descriptor set and its `google.api.http` rules say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError

from proxy.filters.transcoding import path_template
from proxy.filters.transcoding.path_template import PathMatcher

HTTP_BODY = "google.api.HttpBody"
_BUILT_IN = "google/protobuf/any.proto", "google/rpc/status.proto"

Fields = tuple[Any, ...]
"""A path of field descriptors, from a message into those in it."""


class MethodError(ValueError):
    """What stands at `path` in the configuration is at fault."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


class UnknownField(ValueError):
    """A binding that its message has no field for."""


class Method(NamedTuple):
    """`body`: where the request's body goes; () is the whole message, as it is where the rule says nothing.
    `request_http_body` and `response_http_body`: that, or what is at `response_body`, is a `google.api.HttpBody`, and
    no JSON.
    """

    path: bytes
    request: type[Any]
    response: type[Any]
    client_streaming: bool
    server_streaming: bool
    body: Fields
    request_http_body: bool
    response_http_body: bool
    response_body: Fields


class Methods:
    """The methods of `services` in `descriptors`, a serialized `FileDescriptorSet`, by HTTP method and path.

    Raises `MethodError`.
    """

    def __init__(
        self,
        descriptors: bytes,
        services: Sequence[str],
        *,
        auto_mapping: bool = False,
        unescape: str = "ALL_CHARACTERS_EXCEPT_RESERVED",
        any_verb: bool = False,
        with_status: bool = False,
    ) -> None:
        self.pool = _pool(descriptors, with_status=with_status)
        self.matcher: PathMatcher[Method] = PathMatcher(unescape, any_verb=any_verb)
        for index, name in enumerate(services):
            try:
                service = self.pool.FindServiceByName(name)
            except KeyError as error:
                raise MethodError(("services", index), f"no service {name!r} in the descriptors") from error
            for method in service.methods:
                self._add(method, auto_mapping=auto_mapping)

    def status(self) -> Any:
        """An empty `google.rpc.Status`."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName("google.rpc.Status"))()

    def _add(self, method: MethodDescriptor, *, auto_mapping: bool) -> None:
        rule = HttpRule()
        if method.GetOptions().HasExtension(annotations_pb2.http):
            rule = method.GetOptions().Extensions[annotations_pb2.http]
        elif auto_mapping:
            rule = HttpRule(post=f"/{method.containing_service.full_name}/{method.name}", body="*")
        try:
            for one in (rule, *rule.additional_bindings):
                for verb, path in _patterns(one):
                    found = _method(method, one)
                    if not self.matcher.add(verb, path_template.parse(path), found):
                        raise MethodError(("services",), f"{method.full_name}: another method has {verb} {path}, too")
        except (path_template.TemplateError, UnknownField) as error:
            raise MethodError(("services",), f"{method.full_name}: {error}") from error


def _pool(descriptors: bytes, *, with_status: bool) -> descriptor_pool.DescriptorPool:
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    except DecodeError as error:
        raise MethodError((), f"no FileDescriptorSet: {error}") from error
    pool = descriptor_pool.DescriptorPool()
    known = set()
    for file in files.file:
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise MethodError((), f"{file.name}: {error}") from error
        known.add(file.name)
    if with_status:
        from google.rpc import status_pb2  # in the default pool from here on

        for name in (name for name in _BUILT_IN if name not in known):
            file_proto = descriptor_pb2.FileDescriptorProto()
            status_pb2.DESCRIPTOR.pool.FindFileByName(name).CopyToProto(file_proto)
            pool.AddSerializedFile(file_proto.SerializeToString())
    return pool


def _patterns(rule: HttpRule) -> Iterator[tuple[str, str]]:
    kind = rule.WhichOneof("pattern")
    if kind == "custom":
        yield rule.custom.kind, rule.custom.path
    elif kind is not None:
        yield kind.upper(), getattr(rule, kind)


def _method(method: MethodDescriptor, rule: HttpRule) -> Method:
    body = field_path(method.input_type, rule.body) if rule.body not in ("", "*") else ()
    answer = field_path(method.output_type, rule.response_body) if rule.response_body else ()
    answer_is_body = _message_at(method.output_type, answer) == HTTP_BODY
    if answer and not answer_is_body:
        raise UnknownField(f"response_body {rule.response_body!r} is no {HTTP_BODY}, which alone is supported")
    return Method(
        f"/{method.containing_service.full_name}/{method.name}".encode(),
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
        method.client_streaming,
        method.server_streaming,
        body,
        _message_at(method.input_type, body) == HTTP_BODY,
        answer_is_body,
        answer,
    )


def _message_at(descriptor: Descriptor, path: Fields) -> str:
    found = path[-1].message_type if path else descriptor
    return found.full_name if found is not None else ""


def field_path(descriptor: Descriptor, path: str) -> Fields:
    """The fields of `path`, by their names or those that they have in JSON. Raises `UnknownField`."""
    found: list[Any] = []
    inner: Descriptor | None = descriptor
    for name in path.split("."):
        if inner is None or (found and found[-1].is_repeated):
            raise UnknownField(f"{path!r} leads into a field that is no message")
        field: FieldDescriptor | None = inner.fields_by_name.get(name) or inner.fields_by_camelcase_name.get(name)
        field = field or next((one for one in inner.fields if one.json_name == name), None)
        if field is None:
            raise UnknownField(f'Could not find field "{name}" in the type "{inner.full_name}".')
        found.append(field)
        inner = field.message_type
    return tuple(found)
