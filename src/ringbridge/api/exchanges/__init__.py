"""The request history over HTTP (ours)."""
