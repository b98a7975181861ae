"""Deliveries of events to subscriptions (contract §5)."""
