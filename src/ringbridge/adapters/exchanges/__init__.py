"""The request history of this node, in a database of its own."""
