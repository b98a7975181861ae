"""The edges: bus, store, SIP sockets, media relay."""
