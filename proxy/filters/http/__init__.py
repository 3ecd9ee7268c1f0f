"""HTTP filters: one file each, one line each here."""

HTTP_FILTERS: dict[str, str] = {
    "envoy.extensions.filters.http.router.v3.Router": "proxy.filters.http.router:Router",
}

HTTP_ROUTE_CONFIGS: dict[str, str] = {}
"""Per-route configuration (`typed_per_filter_config`): type URL → a class with `from_proto`."""
