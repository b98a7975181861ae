"""Event subscriptions (contract §5): the same resource under `/subscriptions` and under a domain."""

from __future__ import annotations

from collections.abc import Mapping

from ringbridge.api.calls.calls import ignored_header
from ringbridge.api.events.subscription_views import (
    AcceptedSubscription,
    SubscriptionView,
    created_view,
    delivery_view,
    subscription_view,
)
from ringbridge.api.http.answers import Answer, Count, HeaderPair, accepted, json_answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.events.subscriptions import no_such_subscription
from ringbridge.model import names
from ringbridge.model.deliveries import Progress
from ringbridge.model.directory import Subscription
from ringbridge.model.errors import CallError, Refusal, invalid
from ringbridge.model.subscriptions import CREATE_FIELDS, UPDATE_FIELDS, SubscriptionOrder, read_subscription_order
from ringbridge.model.wire import shown


class SubscriptionHandlers:
    """Handlers of `…/subscriptions`; what a token sees of them is `calls.events.subscriptions`' to say."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._subscriptions = parts.subscriptions
        self._events = parts.events

    async def list_all(self, request: Request) -> Answer:
        """List the subscriptions that the token sees, oldest first."""
        page = request.page()
        found = await self._subscriptions.visible(request.principal, domain=request.domain)
        part = found[page.start - 1 : page.start - 1 + page.limit]
        progress = await self._events.progress([one.id for one in part])
        views = [await self._view(one, progress) for one in part]
        return page_answer(views, page=page, path=request.path, total=len(found))

    async def count(self, request: Request) -> Answer:
        """Count the subscriptions that the token sees."""
        return json_answer(Count(len(await self._subscriptions.visible(request.principal, domain=request.domain))))

    async def create(self, request: Request) -> Answer:
        """Make a subscription: 202, or with `synchronous` 200 with the resource. Either tells the secret, once."""
        order = await self._order(request, create=True)
        stored = await self._subscriptions.create(order, request.principal, domain=request.domain)
        made, headers = stored.subscription, _headers(order)
        applied = await self._applied(stored.sequence)
        if applied and order.get("synchronous") == "yes":
            return json_answer(created_view(made), headers=headers)
        answer = AcceptedSubscription(202, "Accepted", made.id, made.secret)
        return json_answer(answer, status=202, headers=headers)

    async def read(self, request: Request) -> Answer:
        """Read one subscription."""
        one = await self.named(request)
        progress = await self._events.progress([one.id])
        return json_answer(await self._view(one, progress))

    async def _view(self, one: Subscription, progress: Mapping[str, Progress]) -> SubscriptionView:
        return subscription_view(one, progress.get(one.id), silent=await self._subscriptions.why_silent(one))

    async def update(self, request: Request) -> Answer:
        """Change the fields that the body names."""
        before = await self.named(request)
        order = await self._order(request, create=False)
        counted = (await self._events.progress([before.id])).get(before.id, Progress())
        stored = await self._subscriptions.update(
            before, order, request.principal, counted=(counted.posts, counted.errors)
        )
        await self._applied(stored.sequence)
        return accepted(headers=_headers(order))

    async def delete(self, request: Request) -> Answer:
        """Delete a subscription."""
        await self._applied(await self._subscriptions.delete(await self.named(request)))
        return accepted()

    async def deliveries(self, request: Request) -> Answer:
        """List the attempts of the last three days, newest first."""
        page = request.page()
        found = await self._events.attempts((await self.named(request)).id)
        part = found[page.start - 1 : page.start - 1 + page.limit]
        return page_answer([delivery_view(one) for one in part], page=page, path=request.path, total=len(found))

    async def resend(self, request: Request) -> Answer:
        """Send one delivery again, now, and tell what became of it."""
        name, one = request.params["delivery_id"], await self.named(request)
        await self._subscriptions.check_not_ended(one)
        attempt = await self._events.resend(one, name)
        if attempt is None:
            raise CallError(Refusal.NOT_FOUND, "no-such-delivery", f"no delivery {shown(name)}")
        return json_answer(delivery_view(attempt))

    async def test(self, request: Request) -> Answer:
        """Send a test event, now, and tell what became of it."""
        one = await self.named(request)
        await self._subscriptions.check_not_ended(one)
        return json_answer(delivery_view(await self._events.test(one)))

    async def named(self, request: Request) -> Subscription:
        """Return the subscription of the path.

        Raises:
            CallError: there is none that the token sees.
        """
        name = request.params["subscription_id"]
        if not names.SUBSCRIPTION_ID.fullmatch(name):
            raise no_such_subscription(name)
        return await self._subscriptions.one(name, request.principal, domain=request.domain)

    async def _order(self, request: Request, *, create: bool) -> SubscriptionOrder:
        """Return the order of a body; of a new one its faults are told with those that only a look around shows."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        now = self._parts.clock.now()
        if create:
            return read_subscription_order(body, CREATE_FIELDS, required=("post-url",), now=now)
        order = read_subscription_order(body, UPDATE_FIELDS, now=now)
        if order.faults:
            raise invalid(order.faults)
        return order

    async def _applied(self, sequence: int) -> bool:
        """Return whether this node shows the write; a 202 waits for it too, so that what was made is there at once."""
        return await self._parts.replica.wait_directory(sequence, timeout_s=self._parts.settings.sync_wait_s)


def _headers(order: SubscriptionOrder) -> list[HeaderPair]:
    return [(b"x-ringbridge-ignored", ignored_header(order.ignored))] if order.ignored else []
