"""The bus on NATS JetStream, and the server of our own."""
