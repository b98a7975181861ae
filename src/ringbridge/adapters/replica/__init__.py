"""The bus copied into this node's store."""
