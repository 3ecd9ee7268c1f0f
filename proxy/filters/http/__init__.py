"""HTTP filters: one file each, one line each here."""

HTTP_FILTERS: dict[str, str] = {
    "envoy.extensions.filters.http.router.v3.Router": "proxy.filters.http.router:Router",
}
