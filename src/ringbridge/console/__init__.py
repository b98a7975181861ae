"""Pages that the API serves; they talk to the public API alone."""
