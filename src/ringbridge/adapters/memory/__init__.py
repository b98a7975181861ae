"""The in-memory twins of bus, store and call engine: what tests use, with the same semantics."""
