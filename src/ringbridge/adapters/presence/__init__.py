"""What presence subscriptions are told of, derived by one node for each domain (contract §5)."""
