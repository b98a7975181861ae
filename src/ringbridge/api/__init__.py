"""The HTTP surface under /ns-api/v2."""
