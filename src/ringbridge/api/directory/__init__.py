"""The directory over HTTP: one module a resource, all on one skeleton (contract §4)."""
