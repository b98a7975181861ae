"""SIP without I/O: bytes and a clock reading in, bytes and events out."""
