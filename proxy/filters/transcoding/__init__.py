"""JSON to gRPC and back, for `grpc_json_transcoder`. Of the data plane, this package alone holds protobuf: it is
imported where a configuration asks for it.
"""
