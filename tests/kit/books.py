"""A gRPC service with `google.api.http` rules of all kinds, made without protoc: its descriptors and messages."""

from __future__ import annotations

import base64
from typing import Any

from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, timestamp_pb2, wrappers_pb2

_BOOKS = """
name: "books.proto" package: "t" syntax: "proto3"
dependency: "google/api/annotations.proto" dependency: "google/api/httpbody.proto"
dependency: "google/protobuf/timestamp.proto" dependency: "google/protobuf/wrappers.proto"
enum_type { name: "Kind" value { name: "KIND_UNSPECIFIED" number: 0 } value { name: "NOVEL" number: 1 }
  value { name: "POEM" number: 2 } }
message_type { name: "Book"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING json_name: "name" }
  field { name: "id" number: 2 label: LABEL_OPTIONAL type: TYPE_INT64 json_name: "id" }
  field { name: "kind" number: 3 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".t.Kind" json_name: "kind" }
  field { name: "tags" number: 4 label: LABEL_REPEATED type: TYPE_STRING json_name: "tags" }
  field { name: "sequel" number: 5 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".t.Book" json_name: "sequel" }
  field { name: "price" number: 6 label: LABEL_OPTIONAL type: TYPE_DOUBLE json_name: "price" }
  field { name: "cover" number: 7 label: LABEL_OPTIONAL type: TYPE_BYTES json_name: "cover" }
  field { name: "long_name" number: 8 label: LABEL_OPTIONAL type: TYPE_STRING json_name: "longName" }
}
message_type { name: "Ask"
  field { name: "shelf" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING json_name: "shelf" }
  field { name: "book" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".t.Book" json_name: "book" }
  field { name: "tag" number: 3 label: LABEL_REPEATED type: TYPE_STRING json_name: "tag" }
  field { name: "at_most" number: 4 label: LABEL_OPTIONAL type: TYPE_INT32 json_name: "atMost" }
  field { name: "all" number: 5 label: LABEL_OPTIONAL type: TYPE_BOOL json_name: "all" }
  field { name: "kind" number: 6 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".t.Kind" json_name: "kind" }
  field { name: "path" number: 7 label: LABEL_OPTIONAL type: TYPE_STRING json_name: "path" }
  field { name: "since" number: 8 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp"
    json_name: "since" }
  field { name: "rare" number: 9 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.BoolValue"
    json_name: "rare" }
  field { name: "price" number: 10 label: LABEL_OPTIONAL type: TYPE_DOUBLE json_name: "price" }
}
message_type { name: "Raw"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING json_name: "name" }
  field { name: "body" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.api.HttpBody"
    json_name: "body" }
}
service { name: "Books"
  method { name: "Get" input_type: ".t.Ask" output_type: ".t.Book"
    options { [google.api.http] { get: "/v1/shelves/{shelf}/books/{book.id}" } } }
  method { name: "Find" input_type: ".t.Ask" output_type: ".t.Book"
    options { [google.api.http] { get: "/v1/{shelf=shelves/*}/all/{path=**}"
      additional_bindings { get: "/v1/find:now" } additional_bindings { custom { kind: "FIND" path: "/v1/find" } } } } }
  method { name: "Create" input_type: ".t.Ask" output_type: ".t.Book"
    options { [google.api.http] { post: "/v1/shelves/{shelf}" body: "book" } } }
  method { name: "Update" input_type: ".t.Ask" output_type: ".t.Book"
    options { [google.api.http] { patch: "/v1/books" body: "*" additional_bindings { put: "/v1/books/{book.id}"
      body: "book" } additional_bindings { post: "/v1/bodiless" } } } }
  method { name: "List" input_type: ".t.Ask" output_type: ".t.Book" server_streaming: true
    options { [google.api.http] { get: "/v1/list" } } }
  method { name: "Add" input_type: ".t.Ask" output_type: ".t.Book" client_streaming: true
    options { [google.api.http] { post: "/v1/add" body: "*" } } }
  method { name: "Upload" input_type: ".t.Raw" output_type: ".google.api.HttpBody"
    options { [google.api.http] { post: "/v1/upload/{name}" body: "body" } } }
  method { name: "Download" input_type: ".t.Ask" output_type: ".google.api.HttpBody" server_streaming: true
    options { [google.api.http] { get: "/v1/download" } } }
  method { name: "Auto" input_type: ".t.Ask" output_type: ".t.Book" }
}
"""


def _file(text: str) -> descriptor_pb2.FileDescriptorProto:
    found = descriptor_pb2.FileDescriptorProto()
    text_format.Parse(text, found)
    return found


def descriptor_set(text: str = _BOOKS) -> bytes:
    """The service's file, and those that it needs, as protoc writes them."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: Any) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in files:
            files[file.name] = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(files[file.name])

    for module in (annotations_pb2, httpbody_pb2, timestamp_pb2, wrappers_pb2):
        add(module.DESCRIPTOR)
    return descriptor_pb2.FileDescriptorSet(file=[*files.values(), _file(text)]).SerializeToString()


def descriptors_in_yaml() -> str:
    """For `proto_descriptor_bin`."""
    return base64.b64encode(descriptor_set()).decode()


def _messages() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
        for name, full in (("Book", "t.Book"), ("Ask", "t.Ask"), ("Raw", "t.Raw"), ("HttpBody", "google.api.HttpBody"))
    }


MESSAGES = _messages()
Book, Ask, Raw, HttpBody = (MESSAGES[name] for name in ("Book", "Ask", "Raw", "HttpBody"))
