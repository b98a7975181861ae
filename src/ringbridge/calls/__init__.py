"""The brain: who rings, in which order, and what becomes of each leg."""
