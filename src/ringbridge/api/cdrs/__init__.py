"""Call history over HTTP (contract §6)."""
