"""Orders to a call that is up: hold, unhold, transfer, answer, reject (contract §3)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from ringbridge.api.calls.calls import USER_CALLS, CallHandlers, ignored_header
from ringbridge.api.document.operations import Access, Handler, Operation, Reply, Schema
from ringbridge.api.document.schemas import CALL_ACTION_SCHEMA, CALL_ACTIONS_SCHEMA
from ringbridge.api.http.answers import Accepted, Answer, accepted
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.model.call import Call, Leg
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.events import TransferPlan
from ringbridge.model.wire import shown
from ringbridge.model.wire_orders import SECOND_CALL, CallOrderBody, read_action, read_transfer

ONE_CALL = USER_CALLS + "/{call-id}"
ON_BEHALF = (
    " Asked for on behalf of the user of the path; where the path names a leg by its SIP Call-ID, on behalf of that "
    "leg's party, which has to be their own unless they made the call. Whoever made a call and has left it by a "
    "transfer asks on behalf of who has taken their place."
)
OUTCOME = (
    " 202: the order is stored, and survives a crash of the engine; what comes of it shows in `call-order`, in "
    "`call-state` and in the ladder. 409: the state does not allow it (`call-not-connected`, `call-ended`, "
    "`party-left`: whoever asks is not in the call any more), or an earlier order is still being carried out a second "
    "and a half later (`order-under-way`); nothing was done."
)
HOLD = (
    "Puts the other party on hold: it hears music from the relay and is not heard (a re-INVITE offers `sendonly`), and "
    "the holder's own phone is silent (`inactive`). A phone that refuses is not held. Safe to repeat."
)
UNHOLD = (
    "Lets both parties talk again. Safe to repeat. Only whoever holds can take back: 409 `held-by-other-party`, and "
    "`held-at-phone` where a phone holds by itself."
)
ATTENDED = (
    " Attended transfer, with `call-destination-session-id`: make a second call (and hold the first), speak with its "
    "other party, then transfer the first with the second's session id. The other parties of both are joined, both "
    "legs of the one that transfers are released, and the second call ends as `transferred`; each has its own CDR. "
    "Where the phone that is taken over refuses (a new offer in its dialog), that party is released and the first call "
    "goes on. 400 `no-such-call` where the user has no such call; 409 `destination-ended`, "
    "`destination-call-not-connected`, `destination-order-under-way` where the second call is in no state for it."
)
TRANSFER = (
    "Blind transfer: rings `call-term-user`, by the dial rules and permissions of the path's user. Until it answers, "
    "the parties stay connected, the other one hears it ring, and the one that transfers may hang up. When it answers "
    "it takes the place of the one that transfers, whose leg is released. If nobody answers, the call goes on as it "
    "was, on hold too if it was; it ends only if the one that transfers has hung up meanwhile. The new party is shown "
    "who remains; on a line outside, where that may not be shown, the user's own caller ID. Where a phone behind NAT "
    "transfers or is transferred to, whoever remains gets a new offer (another port of the relay). Where a "
    "limit on calls is reached by the new party, a connection's as well, the order is refused with 429."
)
ANSWER = (
    "Always 409: Ringbridge calls both parties, so a call is answered at its phone (`answered-at-phone`), or by the "
    "phone itself where `auto-answer-enabled` was asked for; or it is none that rings (`nothing-rings`)."
)
REJECT = (
    "Refuses the call on behalf of the party that is being rung: the call ends as `rejected`, or, where that party is "
    "the target of a transfer, goes on as it was. 409 `nothing-rings` where nobody is."
)
ACTION = "The same orders in one place: `action` is `hold`, `unhold`, `transfer`, `answer`, `reject` or `end` (DELETE)."


class ControlHandlers:
    """Handlers of `…/calls/{call-id}/hold` and the like."""

    def __init__(self, parts: ApiParts, calls: CallHandlers) -> None:
        self._parts = parts
        self._control = parts.control
        self._calls = calls

    async def hold(self, request: Request) -> Answer:
        """Put the other party on hold."""
        return await self._do(request, CallOrderBody("hold"))

    async def unhold(self, request: Request) -> Answer:
        """Take the other party back."""
        return await self._do(request, CallOrderBody("unhold"))

    async def transfer(self, request: Request) -> Answer:
        """Let another party take the user's place."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        return await self._do(request, read_transfer(body))

    async def answer(self, request: Request) -> Answer:
        """Say that it is answered at its phone."""
        return await self._do(request, CallOrderBody("answer"))

    async def reject(self, request: Request) -> Answer:
        """Refuse it on behalf of the party that is being rung."""
        return await self._do(request, CallOrderBody("reject"))

    async def act(self, request: Request) -> Answer:
        """Do what the body's `action` says."""
        body = await request.json_object(limit=self._parts.settings.body_limit)
        return await self._do(request, read_action(body))

    async def _do(self, request: Request, body: CallOrderBody) -> Answer:
        if body.action == "end":
            return await self._calls.end(request)
        call = await self._calls.controllable(request)
        name, by = request.params["call_id"], f"key {request.principal.key_id}"
        match body.action:
            case "hold" | "unhold":
                await self._control.hold(call, name, user=request.user, on=body.action == "hold", by=by)
            case "transfer" if body.second_call:
                second = await self._second_call(request, call, body.second_call)

                def held(now: Call, plan: TransferPlan) -> AbstractAsyncContextManager[None]:
                    return self._parts.placer.held_for_join(now, request.user, plan)

                await self._control.join(call, name, user=request.user, second=second, held=held, by=by)
            case "transfer":

                def plan(now: Call, remaining: Leg) -> AbstractAsyncContextManager[TransferPlan]:
                    return self._parts.placer.planned_transfer(now, request.user, body.term_user, remaining)

                await self._control.transfer(call, name, user=request.user, plan=plan, by=by)
            case "reject":
                await self._control.reject(call, by=by)
            case _:
                raise _not_answerable(call)
        headers = [(b"x-ringbridge-ignored", ignored_header(body.ignored))] if body.ignored else []
        return accepted(call.call_id, headers=headers)

    async def _second_call(self, request: Request, call: Call, name: str) -> Call:
        """Return the other call of an attended transfer.

        Raises:
            CallError: there is none that the user made or takes part in; or it is the same call.
        """
        second = await self._calls.known(request, name)
        if second is None:
            code, message = "no-such-call", "names no call of this user"
        elif second.session_id == call.session_id:
            code, message = "same-call", "names the call that is to be transferred"
        else:
            return second
        allowed = "another call that this user has up"
        raise invalid([Fault(SECOND_CALL.name, code, message, found=shown(name), allowed=allowed)])


def _not_answerable(call: Call) -> CallError:
    if call.is_over or call.joined_at:
        return CallError(Refusal.CONFLICT, "nothing-rings", "no phone of this call is being rung")
    message = "both parties of a call are rung here; whoever is rung answers at the phone"
    return CallError(Refusal.CONFLICT, "answered-at-phone", message)


def operations(handlers: ControlHandlers) -> list[Operation]:
    """Return the operations that give orders to a call."""
    return [
        _order("hold-call", "/hold", handlers.hold, "Hold a call", HOLD + ON_BEHALF),
        _order("unhold-call", "/unhold", handlers.unhold, "Take a call back from hold", UNHOLD + ON_BEHALF),
        _order(
            "transfer-call",
            "/transfer",
            handlers.transfer,
            "Transfer a call",
            TRANSFER + ATTENDED + ON_BEHALF,
            body=CALL_ACTIONS_SCHEMA,
            example={"call-term-user": "1003"},
        ),
        replace(_order("answer-call", "/answer", handlers.answer, "Answer a call", ANSWER), replies=()),
        _order("reject-call", "/reject", handlers.reject, "Reject a call", REJECT),
        _order(
            "act-on-call",
            "",
            handlers.act,
            "Do something with a call",
            ACTION + ON_BEHALF,
            body=CALL_ACTION_SCHEMA,
            example={"action": "hold"},
        ),
    ]


def _order(
    name: str,
    verb: str,
    handle: Handler,
    summary: str,
    description: str,
    *,
    body: Schema | None = None,
    example: Schema | None = None,
) -> Operation:
    accepted = Reply(202, "Accepted.", Accepted, ("X-Ringbridge-Ignored",) if body is not None else ())
    return Operation(
        name=name,
        method="PATCH",
        path=ONE_CALL + verb,
        access=Access.USER,
        handle=handle,
        tag="Calls",
        summary=summary,
        description=description + OUTCOME,
        body=body,
        body_example=example,
        replies=(accepted,),
        refusals=(409, 503),
    )
