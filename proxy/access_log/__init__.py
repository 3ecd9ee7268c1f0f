"""Access loggers: one file each, one line each here."""

ACCESS_LOGGERS: dict[str, str] = {
    "envoy.extensions.access_loggers.file.v3.FileAccessLog": "proxy.access_log.file:FileAccessLog",
    "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig": "proxy.access_log.http_grpc:HttpGrpcAccessLog",
    "envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig": "proxy.access_log.tcp_grpc:TcpGrpcAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": "proxy.access_log.stdout:StdoutAccessLog",
    "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": "proxy.access_log.stderr:StderrAccessLog",
}
