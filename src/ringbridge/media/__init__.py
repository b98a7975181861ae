"""SDP, offer and answer, and the relay's command language, without I/O."""
