"""The bus contract: what happened to a call, in order (design.md "The bus").

A bus message is a MessagePack array of one or more of these: a batch, stored whole or not at all. Folding a call's
events in order with `model.call.fold` gives the call; nothing else is needed to take it up again. `at` is always
epoch seconds. `dialog` is the call engine's own state of one leg, opaque to everyone else.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from ringbridge.model.ids import CallId, DomainName, LegId, NodeId, SessionId, UserName
from ringbridge.model.release import ReleaseCause


class Flow(StrEnum):
    """Which way an answered leg's audio goes, as far as we decide it; its party may hold on top of that."""

    TALK = "talk"
    MUSIC = "music"
    """On hold: it hears hold music and is not heard."""
    SILENT = "silent"
    """Its party holds the other: nothing either way."""


class CallerId(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the called party's display shows; `number` is digits with an optional `+`, or an extension."""

    number: str
    name: str = ""
    host: str = ""
    """The host of the From URI, where a dial rule names one; else it is the domain."""


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing to ring: a registered device's contact, or a number through a connection.

    `uri` is the Request-URI; `transport`, `host`, `port` are where the INVITE goes. `user` and `domain` name the
    extension for the resource and the CDR; `domain` is empty for a number outside.
    """

    uri: str
    transport: str
    host: str
    port: int
    label: str
    """As a person would name it: `1001_mobile`, `+4531…`."""
    to_uri: str
    user: str = ""
    domain: str = ""
    device: str = ""
    model: str = ""
    """`device-models-model`: picks the auto-answer headers."""
    auto_answer: bool = False
    """A device that is always asked to answer by itself when the first leg rings it."""
    connection: str = ""
    """Key of the connection whose credentials and caller-ID format apply; empty for a device."""
    route_set: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """Extra headers, already checked (dial rule applications `…-add-header`)."""
    nat: bool = False
    """Registered from another address than its contact names: its media address is learned from packets."""
    emergency: bool = False
    """A call for help, which is tried though its connection is said to be down."""
    pcmu_only: bool = False
    """A connection whose calls have no codec for sound but PCMU."""
    recorded: bool = False
    """A device or connection whose calls are recorded."""


class Person(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user that a leg belongs to, as the CDR names them; all empty for a number outside."""

    name: str = ""
    site: str = ""
    department: str = ""


class CallPlan(msgspec.Struct, frozen=True):
    """Who rings, who is shown, and for how long: all that the engine needs, decided before anything rings."""

    origination: tuple[Target, ...]
    termination: tuple[Target, ...]
    origination_caller_id: CallerId
    """Shown to the first leg."""
    termination_caller_id: CallerId
    """Shown to the second leg."""
    dialled: str
    """`call-term-user` after translation."""
    origination_user: str = ""
    """The user that the first leg belongs to; empty for a number outside."""
    auto_answer: bool = False
    added_header: tuple[str, str] | None = None
    origination_ring_timeout_s: float = 30.0
    termination_ring_timeout_s: float = 60.0
    max_duration_s: float = 14_400.0
    match_uri: str = ""
    """The dial rule's pattern that chose the second leg."""
    origination_person: Person = Person()
    termination_person: Person = Person()
    reseller: str = ""
    """The domain's, when the call was made."""


class Consultation(msgspec.Struct, frozen=True):
    """The second call of an attended transfer: whoever transfers has asked its far party first."""

    call_id: CallId
    session_id: SessionId
    sip_call_id: str
    """The far party's leg, which is taken over."""


class TransferPlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who takes the place of whoever transfers a call, decided before anything rings."""

    targets: tuple[Target, ...]
    caller_id: CallerId
    """Shown to them: who remains in the call."""
    dialled: str
    """`call-term-user` after translation."""
    ring_timeout_s: float = 60.0
    match_uri: str = ""
    """The dial rule's pattern that chose them."""
    person: Person = Person()
    consultation: Consultation | None = None
    """Of an attended transfer: the one target is up already, in another call."""


class CallRequest(msgspec.Struct, frozen=True, rename="kebab"):
    """The request as asked, after `~` and defaults: what a replay is compared with (contract §3).

    Fields are the contract's; `call_orig_user` and the caller IDs are as given, empty where defaulted.
    """

    domain: str
    user: str
    call_id: str
    call_term_user: str
    call_orig_user: str = ""
    dial_rule_application: str = "call"
    auto_answer_enabled: bool = False
    caller_id_number: str = ""
    callback_caller_id_number: str = ""
    call_term_added_sip_header: str = ""


class CallRequested(msgspec.Struct, frozen=True, tag="requested"):
    """The call was accepted. `dial_before` is when an undialled call expires, epoch seconds."""

    domain: DomainName
    user: UserName
    call_id: CallId
    session_id: SessionId
    request: CallRequest
    plan: CallPlan
    at: float
    dial_before: float
    node: NodeId
    """The node that accepted it."""


class CallBarred(msgspec.Struct, frozen=True, tag="barred"):
    """DELETE arrived before the POST: this call-id is not dialled until `until` (contract §3)."""

    domain: DomainName
    user: UserName
    call_id: CallId
    at: float
    until: float


class CallClaimed(msgspec.Struct, frozen=True, tag="claimed"):
    """`node` runs the call from here on: its owner. `generation` counts owners, from 1."""

    node: NodeId
    generation: int
    at: float


class LegInvited(msgspec.Struct, frozen=True, tag="leg-invited"):
    """From here on an INVITE may have left. Stored before it does."""

    leg_id: LegId
    target: Target
    sip_call_id: str
    dialog: bytes
    at: float
    transfer: int = 0
    """Which transfer of the call it is of, counted from 1; 0: it is of the call as it was requested."""


class LegRinging(msgspec.Struct, frozen=True, tag="leg-ringing"):
    """A provisional response other than 100 came; `early_media` when it carried SDP."""

    leg_id: LegId
    at: float
    early_media: bool = False


class LegAnswered(msgspec.Struct, frozen=True, tag="leg-answered"):
    """The leg answered and won; its ACK was due at `acked_at` and leaves once this is stored.

    `codec` is an RTP encoding name, `PCMU`.
    """

    leg_id: LegId
    dialog: bytes
    codec: str
    at: float
    acked_at: float
    remote_media: str = ""
    """`host:port` of the leg's RTP."""


class LegUpdated(msgspec.Struct, frozen=True, tag="leg-updated"):
    """The dialog changed: a re-INVITE, a new remote target. `held` when the party put us on hold."""

    leg_id: LegId
    dialog: bytes
    at: float
    held: bool = False
    flow: Flow = Flow.TALK


class LegReleased(msgspec.Struct, frozen=True, tag="leg-released"):
    """The leg is over on our side, and why."""

    leg_id: LegId
    cause: ReleaseCause
    at: float


class HoldOrdered(msgspec.Struct, frozen=True, tag="hold-ordered"):
    """Somebody asked by the API that `leg_id` hold the other party (`on`), or take it back. Stored before any offer."""

    leg_id: LegId
    on: bool
    by: str
    at: float


class TransferOrdered(msgspec.Struct, frozen=True, tag="transfer-ordered"):
    """Somebody asked by the API that another party take the place of `leg_id`. Stored before anybody is dialled."""

    leg_id: LegId
    plan: TransferPlan
    by: str
    at: float


class HandoverOrdered(msgspec.Struct, frozen=True, tag="handover-ordered"):
    """An attended transfer of another call wants `given`, whose leg goes over to it; `leg_id` is who transfers.

    From here on the other call decides: with `given` in its events the leg is its own.
    """

    leg_id: LegId
    given: LegId
    call_id: CallId
    session_id: SessionId
    transfer: int
    """Which transfer of the other call it is."""
    by: str
    at: float


class OrderDone(msgspec.Struct, frozen=True, tag="order-done"):
    """The last order was carried out; or it was not, and `cause` says why."""

    at: float
    cause: ReleaseCause | None = None


class EndRequested(msgspec.Struct, frozen=True, tag="end-requested"):
    """Somebody asked by the API that the call end; `by` is who."""

    by: str
    at: float


class CallEnding(msgspec.Struct, frozen=True, tag="ending"):
    """The call is on its way out, but legs are still being cancelled; whoever takes it up now ends it as this says."""

    cause: ReleaseCause
    ended_by: str
    at: float


class CallEnded(msgspec.Struct, frozen=True, tag="ended"):
    """The call is over. `ended_by` is `origination`, `termination` or `system`; `cause` speaks for the whole call."""

    cause: ReleaseCause
    ended_by: str
    at: float


CallEvent: TypeAlias = (
    CallRequested
    | CallBarred
    | CallClaimed
    | LegInvited
    | LegRinging
    | LegAnswered
    | LegUpdated
    | LegReleased
    | HoldOrdered
    | TransferOrdered
    | HandoverOrdered
    | OrderDone
    | EndRequested
    | CallEnding
    | CallEnded
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[CallEvent]] = msgspec.msgpack.Decoder(list[CallEvent])


def encode(batch: Sequence[CallEvent]) -> bytes:
    """Return one bus message: MessagePack of the `batch` (at least one event)."""
    if not batch:
        raise ValueError("a batch has at least one event")
    return _encoder.encode(batch)


def decode(data: bytes) -> list[CallEvent]:
    """Return the events of one bus message.

    Raises:
        msgspec.DecodeError: `data` is not such a message.
    """
    try:
        return _decoder.decode(data)
    except UnicodeDecodeError as bad:
        raise msgspec.DecodeError(str(bad)) from bad
