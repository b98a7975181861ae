"""This node's copy in a database: one thread writes it, others read it."""
