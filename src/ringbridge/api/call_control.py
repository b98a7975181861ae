"""Orders to a call that is up: hold and unhold (contract §3)."""

from __future__ import annotations

from ringbridge.api.answers import Accepted, Answer, accepted
from ringbridge.api.calls import USER_CALLS, CallHandlers
from ringbridge.api.operations import Access, Handler, Operation, Reply
from ringbridge.api.parts import ApiParts
from ringbridge.api.requests import Request

ONE_CALL = USER_CALLS + "/{call-id}"
ACCEPTED_EXAMPLE = {"code": 202, "message": "Accepted", "call-id": "b7f9c2d4-click-1"}
ON_BEHALF = (
    "Asked for on behalf of the call's user; where the path names a leg by its SIP Call-ID, on behalf of that leg's "
    "party. "
)
OUTCOME = (
    " 202: the order is stored, and survives a crash of the engine. What the phones say to it shows in `call-state`, "
    "in `call-order` and in the ladder. 409 `call-not-connected`, `call-ended`, `order-under-way` (an earlier order is "
    "still being carried out) or `party-left`: the state does not allow it, and nothing was done."
)


class ControlHandlers:
    """Handlers of `…/calls/{call-id}/hold` and the like."""

    def __init__(self, parts: ApiParts, calls: CallHandlers) -> None:
        self._control = parts.control
        self._calls = calls

    async def hold(self, request: Request) -> Answer:
        """Put the other party on hold."""
        return await self._hold(request, on=True)

    async def unhold(self, request: Request) -> Answer:
        """Take the other party back."""
        return await self._hold(request, on=False)

    async def _hold(self, request: Request, *, on: bool) -> Answer:
        call = await self._calls.readable(request)
        await self._control.hold(call, request.params["call_id"], on=on, by=f"key {request.principal.key_id}")
        return accepted(call.call_id)


def operations(handlers: ControlHandlers) -> list[Operation]:
    """Return the operations that give orders to a call."""
    return [
        _order(
            "hold-call",
            "hold",
            handlers.hold,
            summary="Hold a call",
            description="Puts the other party on hold: it hears music from the relay and is not heard (a re-INVITE "
            "offers `sendonly`), and the holder's own phone is silent (`inactive`). Safe to repeat. " + ON_BEHALF,
        ),
        _order(
            "unhold-call",
            "unhold",
            handlers.unhold,
            summary="Take a call back from hold",
            description="Lets both parties talk again. Safe to repeat. Only whoever holds can take back: 409 "
            "`held-by-other-party`, and `held-at-phone` where a phone holds by itself. " + ON_BEHALF,
        ),
    ]


def _order(name: str, verb: str, handle: Handler, *, summary: str, description: str) -> Operation:
    return Operation(
        name=name,
        method="PATCH",
        path=f"{ONE_CALL}/{verb}",
        access=Access.USER,
        handle=handle,
        tag="Calls",
        summary=summary,
        description=description.strip() + OUTCOME,
        replies=(Reply(202, "Accepted.", Accepted, ACCEPTED_EXAMPLE),),
        refusals=(409, 503),
    )
