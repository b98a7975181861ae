"""Calls over HTTP: make, list, read, control, explain (contract §3)."""
