"""Connections as they are just now: one node asks each that wants it, and says what it finds."""
