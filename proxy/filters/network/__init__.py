"""Network filters: one file each, one line each here."""

NETWORK_FILTERS: dict[str, str] = {
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": (
        "proxy.filters.network.http_connection_manager:HttpConnectionManager"
    ),
}
