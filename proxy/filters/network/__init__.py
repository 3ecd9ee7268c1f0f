"""Network filters: one file each, one line each here."""

NETWORK_FILTERS: dict[str, str] = {
    "envoy.extensions.filters.network.direct_response.v3.Config": (
        "proxy.filters.network.direct_response:DirectResponse"
    ),
    "envoy.extensions.filters.network.echo.v3.Echo": "proxy.filters.network.echo:Echo",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "proxy.filters.network.http_connection_manager:HttpConnectionManager"
    ),
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy": "proxy.filters.network.tcp_proxy:TcpProxy",
}
