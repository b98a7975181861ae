"""The media relay: a process of its own, and the client of its control port."""
