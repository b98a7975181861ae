"""Our own new offers to answered legs: hold, unhold, and one codec for both (RFC 3261 §14.1, RFC 3264 §8).

A leg has at most one offer out. What it should have (`SipLeg.wanted`) may change meanwhile; then the next offer says
that. Offers that cross, the leg's and ours, are both refused with 491, and ours is made again after a random while: who
asked hears of an outcome, not of the crossing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from ringbridge.adapters.sip.leg import SipLeg
from ringbridge.adapters.sip.node import SipNode
from ringbridge.adapters.sip.remote_media import permitted
from ringbridge.calls.ports import Answered, Arranged, LegSignal, MediaLost, Refused, Updated
from ringbridge.media.offer_answer import NothingInCommon, Remote, agree, carries_sound, offer_again, read_answer_again
from ringbridge.media.sdp import Codec, Direction, SdpError
from ringbridge.model.events import Flow
from ringbridge.model.release import ReleaseCause, Result, of_sip_status
from ringbridge.sip.session_events import ReinviteResult

log = structlog.get_logger()

GLARE_S = (2.1, 4.0)
"""RFC 3261 §14.1: whoever chose the dialog's Call-ID tries again after 2.1 to 4 seconds."""
AGAIN = frozenset({491, 500})
"""RFC 3261 §14.1, §14.2: another offer is still open there; 500 also says that it missed a request of ours."""
MOST_TRIES = 4
DIRECTIONS = {Flow.TALK: Direction.SENDRECV, Flow.MUSIC: Direction.SENDONLY, Flow.SILENT: Direction.INACTIVE}
"""What a leg with such a flow is offered: the direction is ours, so SENDONLY is for who hears music."""
ANSWER_UNUSABLE = ReleaseCause(Result.FAILED, "answer-unusable")


class LegOffers:
    """Makes offers for one engine. `take_remote` is told what a leg says of its audio, `tell` what came of an offer."""

    def __init__(
        self,
        *,
        node: SipNode,
        take_remote: Callable[[SipLeg, Remote], None],
        tell: Callable[[SipLeg, LegSignal], None],
    ) -> None:
        self._node = node
        self._take_remote = take_remote
        self._tell = tell

    def arrange(self, leg: SipLeg, flow: Flow) -> None:
        """Offer a leg another flow; `Arranged` follows, whatever comes of it."""
        leg.wanted = flow
        if leg.offered is None:
            self._offer(leg, leg.local.codecs)

    def take_over(self, leg: SipLeg) -> None:
        """Offer a leg of another call our own address; `Answered` or `Refused` follows, as if it had been dialled."""
        self._offer(leg, leg.local.codecs)

    def join(self, first: SipLeg, second: SipLeg) -> None:
        """Offer the first leg what joins it with the second, which has come to it, if that is anything new.

        That is the relay session where the second is, and only codecs that it took, if they would send each other what
        neither takes.
        """
        agreed = first.remote is None or second.remote is None or agree(first.remote, second.remote)
        if (first.moving or first.relay).session_id != second.relay.session_id:
            first.moving = second.relay
        elif agreed:
            return
        if first.offered is None:
            codecs = first.local.codecs if agreed or second.remote is None else second.remote.codecs
            self._offer(first, codecs)

    def _offer(self, leg: SipLeg, codecs: Sequence[Codec]) -> None:
        if not carries_sound(codecs := leg.permitted(codecs)):
            codecs = leg.local.codecs
        at = (leg.moving or leg.relay).at(leg.side)
        leg.offered = offer_again(leg.local, codecs, direction=DIRECTIONS[leg.wanted or leg.flow], at=at)
        leg.tries += 1
        self._node.endpoint.reinvite(leg.session, leg.offered.sdp(), self._node.now())
        self._node.wake()

    def _offer_again(self, leg: SipLeg) -> None:
        if leg.released is None and leg.offered is not None:
            self._offer(leg, leg.offered.codecs)

    def on_result(self, event: ReinviteResult, leg: SipLeg) -> None:
        """Take what a leg said to our offer."""
        offered = leg.offered
        if offered is None or leg.released is not None:
            return
        if event.status in AGAIN and leg.tries < MOST_TRIES:
            delay_s = random.uniform(*GLARE_S)  # noqa: S311 - spreads retries, hides nothing
            asyncio.get_running_loop().call_later(delay_s, self._offer_again, leg)
            return
        leg.offered, leg.tries = None, 0
        cause = of_sip_status(event.status) if event.status >= 300 else None
        if cause is None:
            try:
                remote = permitted(self._node, read_answer_again(event.sdp, offered, leg.remote))
            except (SdpError, NothingInCommon) as bad:
                log.warning("answer_unusable", leg=leg.leg_id, reason=str(bad))
                cause = ANSWER_UNUSABLE
            else:
                leg.local = offered
                self._taken(leg, remote)
                return
        if leg.going_over:
            self._not_taken_over(leg, cause)
            return
        log.warning("offer_refused", leg=leg.leg_id, status=event.status, reason=cause.reason)
        # RFC 3264 §8: all stays as it was; but no later offer may have the version of the refused one.
        leg.local = msgspec.structs.replace(leg.local, version=offered.version)
        if leg.wanted is not None:
            self._arranged(leg, leg.wanted, cause)
        if leg.moving is None:
            return
        if (offered.host, offered.port) != leg.moving.at(leg.side):
            # To be moved while an offer of something else was out.
            self._offer(leg, leg.local.codecs)
        else:
            # It stays where nobody speaks to it any more: no audio is worse than no call.
            leg.moving = None
            self._tell(leg, MediaLost(msgspec.structs.replace(cause, reason="media-refused")))

    def _taken(self, leg: SipLeg, remote: Remote) -> None:
        wanted = leg.wanted
        has_moved = leg.moving is not None and (leg.local.host, leg.local.port) == leg.moving.at(leg.side)
        if has_moved and leg.moving is not None:
            leg.relay, leg.moving, leg.remote = leg.moving, None, None
        if leg.going_over:
            self._taken_over(leg, remote)
        elif leg.moving is not None:
            # To be moved while an offer of something else was out.
            self._take_remote(leg, remote)
            self._offer(leg, leg.local.codecs)
        elif wanted is None:
            self._take_remote(leg, remote)
            self._tell(leg, Updated(leg.leg_id, leg.dialog(), remote.held))
        elif DIRECTIONS[wanted] is not leg.local.direction:
            # Asked for while an offer of something else was out.
            self._take_remote(leg, remote)
            self._offer(leg, leg.local.codecs)
        else:
            leg.flow = wanted
            self._take_remote(leg, remote)
            self._arranged(leg, wanted, None)

    def _taken_over(self, leg: SipLeg, remote: Remote) -> None:
        leg.going_over, leg.answered, leg.remote = False, True, remote
        media = f"{remote.host}:{remote.port}" if remote.host else ""
        self._tell(leg, Answered(leg.leg_id, leg.dialog(), remote.codec, time.time(), media))
        if remote.held:
            self._tell(leg, Updated(leg.leg_id, leg.dialog(), held=True))

    def _not_taken_over(self, leg: SipLeg, cause: ReleaseCause) -> None:
        """The leg is in neither call any more: it has nobody to speak with."""
        log.warning("leg_not_taken_over", leg=leg.leg_id, reason=cause.reason)
        leg.going_over, leg.released = False, cause
        self._node.endpoint.hang_up(leg.session, self._node.now())
        self._node.wake()
        self._tell(leg, Refused(leg.leg_id, cause))

    def _arranged(self, leg: SipLeg, flow: Flow, cause: ReleaseCause | None) -> None:
        leg.wanted = None
        held = leg.remote is not None and leg.remote.held
        self._tell(leg, Arranged(leg.leg_id, flow, leg.dialog(), held, cause))
