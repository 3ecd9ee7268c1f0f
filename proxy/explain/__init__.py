"""What would become of a request: for `proxyctl explain`, which serves none."""
