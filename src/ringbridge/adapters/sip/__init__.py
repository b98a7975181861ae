"""The call engine and the registrar on real sockets."""
