"""Events over HTTP: subscriptions, and live streams (contract §5)."""
