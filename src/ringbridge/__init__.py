"""Ringbridge: one HTTP request rings two phones and joins them."""

__version__ = "0.1.0"
