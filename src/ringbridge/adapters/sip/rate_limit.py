"""How much one source address may send: a token bucket each, in bounded memory."""

from __future__ import annotations


class RateLimit:
    """Lets `per_second` packets a second pass from each source, and as many at once after a quiet second.

    A full bucket says as much as no bucket, so those are forgotten; what is held is bounded by who sends now.
    """

    __slots__ = ("_buckets", "_per_second", "_swept_at", "refused")

    def __init__(self, per_second: int) -> None:
        if per_second < 1:
            raise ValueError(f"per_second must be at least 1: {per_second}")
        self._per_second = per_second
        self._buckets: dict[str, list[float]] = {}
        self._swept_at = 0.0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, source: str, now: float) -> bool:
        """Return whether one more packet of `source` may pass at `now`, in seconds of any steady clock."""
        if now - self._swept_at > 1.0:
            self._sweep(now)
        bucket = self._buckets.get(source)
        if bucket is None:
            self._buckets[source] = [self._per_second - 1.0, now]
            return True
        tokens = min(float(self._per_second), bucket[0] + (now - bucket[1]) * self._per_second)
        bucket[1] = now
        if tokens < 1.0:
            bucket[0] = tokens
            self.refused += 1
            return False
        bucket[0] = tokens - 1.0
        return True

    def _sweep(self, now: float) -> None:
        """Forget the buckets that are full again: those quiet for a second."""
        self._swept_at = now
        self._buckets = {source: bucket for source, bucket in self._buckets.items() if now - bucket[1] < 1.0}
