"""Calls that this node has just accepted and that its local copy may not show yet.

A 202 is a full success: the resource can be used at once (contract §1). The replica commits in batches, so a GET right
behind a POST would find nothing for some 40 ms. Whoever asks for such a call by its `call-id` waits for it instead,
which makes the replica commit at once. Only what was accepted here is known here: another node takes the time that
the bus takes.
"""

from __future__ import annotations

from collections import OrderedDict

from ringbridge.calls.place import Placed
from ringbridge.calls.ports import Replica, Store
from ringbridge.model.call import Call
from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.ids import DomainName

REMEMBERED = 4096
"""Calls; at the 500 a second that a node accepts, eight seconds of them."""


class AcceptedCalls:
    """The local copy's calls, and those that are on their way into it."""

    def __init__(self, store: Store, replica: Replica, *, wait_s: float) -> None:
        self._store = store
        self._replica = replica
        self._wait_s = wait_s
        # By user too, so that nobody else's GET tells by its time that there is a call.
        self._sequences: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def add(self, placed: Placed, *, user: str) -> None:
        """Remember a call that was accepted here for `user`."""
        self._sequences[placed.domain, user, placed.call_id] = placed.sequence
        if len(self._sequences) > REMEMBERED:
            self._sequences.popitem(last=False)

    async def call(self, domain: DomainName, name: str, *, user: str) -> Call | None:
        """Return a call by any of its names, as `Store.call` does; one that `user` made here is waited for.

        Raises:
            CallError: the local copy is late; the call is there, and this node cannot show it yet.
        """
        sequence = self._sequences.get((domain, user, name))
        if sequence is not None:
            if not await self._replica.wait_calls(sequence, timeout_s=self._wait_s):
                message = "the call was accepted, and this node cannot show it yet"
                raise CallError(Refusal.UNAVAILABLE, "not-readable-yet", message, retry_after_s=1)
            self._sequences.pop((domain, user, name), None)
        return await self._store.call(domain, name)
