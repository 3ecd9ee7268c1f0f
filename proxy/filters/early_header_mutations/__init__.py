"""Edits of request heads before anything looks at them: early header mutations, one file each, one line each here."""

EARLY_HEADER_MUTATIONS: dict[str, str] = {
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation": (
        "proxy.filters.early_header_mutations.header_mutation:HeaderMutation"
    ),
}
