"""Dial plans made ready, kept until one of their rules changes.

Ten thousand rules take a tenth of a second to make ready. That is done in a thread, so that the event loop goes on
meanwhile, and once, however many calls wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringbridge.model.dial_plan import DialPlan
from ringbridge.model.directory import DialRule

MADE_AT_ONCE = 200
"""Rules that are made ready in a few milliseconds, for which a thread is not worth it."""
KEPT = 1000
"""Plans that are kept; a plan of a hundred rules takes some 50 KB."""

_Place = tuple[str, str]


class KeptPlans:
    """Plans by domain and name."""

    def __init__(self) -> None:
        self._plans: dict[_Place, DialPlan] = {}
        self._coming: dict[_Place, asyncio.Task[DialPlan]] = {}

    def forget(self, domain: str) -> None:
        """A rule of `domain` changed: whoever asks from now on gets plans that know it."""
        for kept in (self._plans, self._coming):
            for place in [place for place in kept if place[0] == domain]:
                del kept[place]

    def forget_all(self) -> None:
        self._plans.clear()
        self._coming.clear()

    async def plan(self, domain: str, name: str, rules: Callable[[], list[DialRule]]) -> DialPlan:
        """Return the plan; `rules` reads its rules where it is not kept."""
        place = (domain, name)
        plan = self._plans.get(place)
        if plan is not None:
            return plan
        coming = self._coming.get(place)
        if coming is None:
            found = rules()
            if len(found) <= MADE_AT_ONCE:
                return self._keep(place, DialPlan(found))
            coming = self._coming[place] = asyncio.create_task(asyncio.to_thread(DialPlan, found))
        plan = await asyncio.shield(coming)
        if self._coming.get(place) is coming:
            del self._coming[place]
            self._keep(place, plan)
        return plan

    def _keep(self, place: _Place, plan: DialPlan) -> DialPlan:
        if len(self._plans) >= KEPT:
            del self._plans[next(iter(self._plans))]
        self._plans[place] = plan
        return plan
