"""What the tests stand on: real origins, clients, the real Envoy and our proxy as processes, and helpers for trio."""
