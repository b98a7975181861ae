"""Recordings of calls: made of what the relay wrote, and kept in a folder."""
