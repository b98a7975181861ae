"""Orders to the node that runs a call, and its answers: the bytes of request-reply over the bus."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ringbridge.model.errors import CallError, Refusal
from ringbridge.model.events import TransferPlan
from ringbridge.model.ids import CallId, LegId, SessionId


class EndCommand(msgspec.Struct, frozen=True, tag="end"):
    """End a call that the receiving node owns."""

    domain: str
    call_id: str
    by: str


class HoldWish(msgspec.Struct, frozen=True, tag="hold"):
    """Let the party that `name` of the call stands for hold the other, or (`on` is false) take it back."""

    name: str
    on: bool
    by: str
    user: str = ""
    """Who says `name`; empty: the call's maker."""


class TransferWish(msgspec.Struct, frozen=True, tag="transfer"):
    """Let another party take the place of `leg_id`."""

    leg_id: LegId
    plan: TransferPlan
    by: str


class RejectWish(msgspec.Struct, frozen=True, tag="reject"):
    """Refuse the call on behalf of the party that is being rung."""

    by: str


class HandoverWish(msgspec.Struct, frozen=True, tag="handover"):
    """Give the leg `sip_call_id` to another call, whose transfer number `transfer` it is."""

    sip_call_id: str
    call_id: CallId
    session_id: SessionId
    transfer: int
    by: str


Wish: TypeAlias = HoldWish | TransferWish | RejectWish | HandoverWish
"""What can be asked of a call that is up."""


def order_of(wish: Wish) -> str:
    """Return what is asked, as people say it."""
    match wish:
        case HoldWish():
            return "hold" if wish.on else "unhold"
        case TransferWish():
            return "transfer"
        case RejectWish():
            return "reject"
        case HandoverWish():
            return "handover"


class OrderCommand(msgspec.Struct, frozen=True, tag="order"):
    """Do this with a call that the receiving node owns."""

    domain: str
    call_id: str
    wish: Wish


Command: TypeAlias = EndCommand | OrderCommand


class Refused(msgspec.Struct, frozen=True):
    """Why the owner does not do it: what the API answers with 409."""

    code: str
    message: str


class CommandAnswer(msgspec.Struct, frozen=True):
    """`running` is false when the node does not run the call (any more); else the order is stored, or `refused`."""

    running: bool
    refused: Refused | None = None
    dialog: bytes = b""
    """To a handover: the state of the leg that is given."""

    def check(self) -> bool:
        """Return whether the order is stored; false means: look again who runs the call.

        Raises:
            CallError: the owner refused it.
        """
        if self.refused is not None:
            raise CallError(Refusal.CONFLICT, self.refused.code, self.refused.message)
        return self.running


_encoder = msgspec.msgpack.Encoder()
encode_command = _encoder.encode
_command_decoder: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
decode_command = _command_decoder.decode
decode_answer = msgspec.msgpack.Decoder(CommandAnswer).decode


def encode_answer(answer: CommandAnswer) -> bytes:
    """Return the bytes of an owner's answer."""
    return _encoder.encode(answer)
