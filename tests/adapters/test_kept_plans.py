"""Dial plans are made ready once, and again when a rule of theirs changes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from ringbridge.adapters.store.kept_plans import MADE_AT_ONCE, KeptPlans
from ringbridge.model.dial_plan import Dialling, DialPlan
from ringbridge.model.directory import DialRule

CALL = Dialling("sip:4531@demo", "sip:1001@demo", "call", datetime(2026, 11, 25, tzinfo=UTC))


class Rules:
    """Rules of one plan, and how often they were read."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.reads = 0

    def __call__(self) -> list[DialRule]:
        self.reads += 1
        patterns = [f"sip:{number}@*" for number in range(self.count)]
        return [DialRule("demo", "demo", pattern, pattern) for pattern in patterns]


async def test_a_plan_is_made_once() -> None:
    plans, rules = KeptPlans(), Rules(3)
    first = await plans.plan("demo", "demo", rules)
    assert await plans.plan("demo", "demo", rules) is first
    assert rules.reads == 1


async def test_calls_that_wait_for_a_big_plan_share_it() -> None:
    plans, rules = KeptPlans(), Rules(MADE_AT_ONCE + 5000)
    made: list[DialPlan] = await asyncio.gather(*(plans.plan("demo", "demo", rules) for _ in range(5)))
    assert rules.reads == 1
    assert all(plan is made[0] for plan in made)
    assert await plans.plan("demo", "demo", rules) is made[0]
    assert (await plans.plan("demo", "demo", rules)).choose(CALL) is not None


async def test_a_change_while_a_plan_is_made_is_not_lost() -> None:
    plans, old, new = KeptPlans(), Rules(MADE_AT_ONCE + 5000), Rules(1)
    waiting = asyncio.create_task(plans.plan("demo", "demo", old))
    await asyncio.sleep(0)
    plans.forget("demo")
    assert len(await plans.plan("demo", "demo", new)) == 1
    assert len(await waiting) == old.count
    assert len(await plans.plan("demo", "demo", old)) == 1


async def test_a_change_leaves_other_domains_alone() -> None:
    plans, rules = KeptPlans(), Rules(1)
    await plans.plan("demo", "demo", rules)
    await plans.plan("other", "demo", rules)
    plans.forget("other")
    await plans.plan("demo", "demo", rules)
    assert rules.reads == 2
    await plans.plan("other", "demo", rules)
    plans.forget_all()
    await plans.plan("demo", "demo", rules)
    assert rules.reads == 4
