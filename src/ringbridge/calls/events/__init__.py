"""Events for others: subscriptions, and live streams of this node."""
