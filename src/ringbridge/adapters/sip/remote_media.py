"""Where audio may be sent to: the same addresses as SIP, since `c=` is as much a tenant's choice as a Record-Route."""

from __future__ import annotations

from ringbridge.adapters.sip.node import SipNode
from ringbridge.media.offer_answer import NothingInCommon, Remote
from ringbridge.model.release import ReleaseCause, Result

MEDIA_REFUSED = ReleaseCause(Result.UNREACHABLE, "media-address-refused")


class MediaRefused(NothingInCommon):
    """A description names an address that nothing may be sent to."""


def permitted(node: SipNode, remote: Remote) -> Remote:
    """Return what a leg said of its audio.

    Raises:
        MediaRefused: nothing may be sent where it takes its audio; it is counted.
    """
    if remote.host is None or (reason := node.refusal_of(remote.host)) is None:
        return remote
    node.endpoint.count_refused_address()
    node.refused(remote.host, reason)
    raise MediaRefused(f"audio at {remote.host}, which is refused: {reason}")
