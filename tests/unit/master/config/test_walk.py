"""Every set field of a message tree."""

from __future__ import annotations

from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.config import strict
from master.config.finding import Finding
from master.config.walk import unpack, walk

ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
TREE = {
    "node": {"id": "i", "metadata": {"a": {"b": 1}}},
    "static_resources": {
        "clusters": [
            {
                "name": "a",
                "connect_timeout": "1s",
                "per_connection_buffer_limit_bytes": 5,
                "typed_extension_protocol_options": {"x": {"@type": ROUTER, "upstream_log": [{"name": "l"}]}},
                "transport_socket": {
                    "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": 1}}
                },
            }
        ]
    },
    "stats_config": {"use_all_default_tags": False},
}


def test_paths_of_every_set_field_parents_first() -> None:
    message = bootstrap_pb2.Bootstrap()
    assert strict.fill(message, TREE) == []
    cluster = "static_resources.clusters[0]"
    packed = f"{cluster}.typed_extension_protocol_options.x"
    paths = [Finding("type", path, "").field_path for path, *_ in walk(message)]
    assert sorted(paths) == sorted(
        [
            "node", "node.id", "node.metadata", "static_resources", cluster, f"{cluster}.name",
            f"{cluster}.connect_timeout", f"{cluster}.per_connection_buffer_limit_bytes",
            packed, f"{packed}.upstream_log[0]", f"{packed}.upstream_log[0].name", f"{cluster}.transport_socket",
            f"{cluster}.transport_socket.typed_config", "stats_config", "stats_config.use_all_default_tags",
        ]
    )  # fmt: skip
    assert all(paths.index(path.rpartition(".")[0]) < paths.index(path) for path in paths if path.count(".") == 1)


def test_steps_name_the_holder_and_the_field() -> None:
    message = bootstrap_pb2.Bootstrap()
    strict.fill(message, TREE)
    steps = {
        Finding("type", path, "").field_path: (holder, field, value) for path, holder, field, value in walk(message)
    }
    holder, field, value = steps["static_resources.clusters[0].typed_extension_protocol_options.x.upstream_log[0].name"]
    assert field.full_name == "envoy.config.accesslog.v3.AccessLog.name"
    assert (holder.DESCRIPTOR.full_name, value) == ("envoy.config.accesslog.v3.AccessLog", "l")


def test_unpack_gives_none_for_what_it_cannot_read() -> None:
    message = bootstrap_pb2.Bootstrap()
    packed = message.admin.access_log.add().typed_config
    assert unpack(packed) is None
    packed.type_url = ROUTER
    packed.value = b"\xff"
    assert unpack(packed) is None
    assert [path for path, *_ in walk(message)][-1][-1] == "typed_config"
