"""Forwarding, the router's own business: one room per idea. `proxy/filters/http/router.py` decides and enters here."""
