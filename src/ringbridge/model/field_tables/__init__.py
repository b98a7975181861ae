"""The fields of every directory resource, by the names of the contract's schemas (contract §4)."""
