"""Offers and answers of a relayed call (RFC 3264): what each leg is told, and what it took.

The relay forwards packets as they are: no transcoding, no renumbering of payload types. So

- leg A (origination) is offered the default set. It is G.711 in both laws and DTMF: every telephone has these, and
  the relay's prompts (ringback, hold music) exist in these. A wider set is the caller's choice; a leg that takes only,
  say, G722 hears no ringback;
- leg B (termination) is offered exactly what A took, under A's numbers, in A's order. Whoever answers keeps to the
  order of the offer (RFC 3264 §6.1), so both come to send the same codec; `agree` says whether they did;
- a phone's re-INVITE is answered with the mirrored direction, our same port, and only codecs that the call has already;
- streams other than plain RTP audio are refused with port 0 (RFC 3264 §6); a description without any audio that we can
  take is `NothingInCommon`, which SIP answers with 488.

The secure profiles (RTP/SAVP and their kin) are refused: the relay has no keys, and the peer must not believe it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ringbridge.media.sdp import (
    PCMA,
    PCMU,
    TELEPHONE_EVENT,
    Codec,
    Description,
    Direction,
    Media,
    Origin,
    SdpError,
    parse,
    serialize,
)

DEFAULT_CODECS: Final = (PCMU, PCMA, TELEPHONE_EVENT)
PROTO: Final = "RTP/AVP"
LONGEST_ADDRESS: Final = 45
"""Characters of an IPv6 address that ends as one of IPv4; what is longer is not remembered, nor any address."""


class NothingInCommon(Exception):
    """The peer's description holds no audio that this call can have: 488 Not Acceptable Here (RFC 3261 §21.4.26)."""


class RefusedStream(Struct, frozen=True):
    """A stream of the peer's offer that we refuse; it keeps its place in every later description (RFC 3264 §8)."""

    kind: str
    proto: str
    formats: tuple[str, ...]


class Local(Struct, frozen=True):
    """What we last told a leg; enough to go on from after a restart.

    `host` and `port` are the relay's for this leg. `before` and `after` are refused streams around our audio.
    """

    session_id: int
    host: str
    port: int
    codecs: tuple[Codec, ...]
    version: int = 1
    direction: Direction = Direction.SENDRECV
    before: tuple[RefusedStream, ...] = ()
    after: tuple[RefusedStream, ...] = ()

    def sdp(self) -> bytes:
        """Return it as a body of type application/sdp."""
        audio = Media(
            kind="audio",
            port=self.port,
            proto=PROTO,
            formats=tuple([str(codec.payload_type) for codec in self.codecs]),
            codecs=self.codecs,
            ptime_ms=20,
            direction=self.direction,
        )
        streams = (*map(_refusal, self.before), audio, *map(_refusal, self.after))
        origin = Origin("-", self.session_id, self.version, self.host)
        return serialize(Description(origin=origin, media=streams, address=self.host))

    def revised(self, new: Local) -> Local:
        """Return `new` with the version it must have: ours, one higher if anything changed (RFC 3264 §8)."""
        same = replace(new, version=self.version)
        return same if same == self else replace(new, version=self.version + 1)


class Remote(Struct, frozen=True):
    """What a leg told us, of its audio. `host` is None while it gives no address to send to (RFC 2543 hold)."""

    host: str | None
    port: int
    codecs: tuple[Codec, ...]
    direction: Direction = Direction.SENDRECV

    @property
    def held(self) -> bool:
        """Whether the party put us on hold: it does not want our audio."""
        return self.host is None or not self.direction.receives

    @property
    def codec(self) -> str:
        """The name of the codec that the leg is going to use; empty if there is none."""
        return next((codec.name for codec in self.codecs if not codec.is_event), "")


def offer(
    *, session_id: int, host: str, port: int, codecs: Sequence[Codec] = DEFAULT_CODECS, version: int = 1
) -> Local:
    """Return the first description for a leg whose relay address is `host` and `port`.

    `session_id` is at random, less than 2**63 (RFC 3264 §5).

    Raises:
        ValueError: no codec in it carries sound.
    """
    if not carries_sound(codecs):
        raise ValueError("an offer needs a codec that carries sound")
    return Local(session_id=session_id, host=host, port=port, codecs=tuple(codecs), version=version)


def permitted(codecs: Iterable[Codec], *, pcmu_only: bool) -> tuple[Codec, ...]:
    """Return those of `codecs` that a leg may have: with `pcmu_only` PCMU, and what carries no sound."""
    return tuple([codec for codec in codecs if not pcmu_only or codec.is_event or codec.matches(PCMU)])


def carries_sound(codecs: Iterable[Codec]) -> bool:
    """Return whether there is a codec for sound among `codecs`."""
    return not all(codec.is_event for codec in codecs)


def read_answer(body: bytes, local: Local) -> Remote:
    """Return what the leg took of `local`.

    Codecs come in the leg's order. Ones that we did not offer are passed over: some phones list them all.

    Raises:
        SdpError: it cannot be read, or has another number of streams than the offer.
        NothingInCommon: it refused the audio, or took no codec that carries sound.
    """
    description = parse(body)
    place = len(local.before)
    if len(description.media) != place + 1 + len(local.after):
        raise SdpError(f"answer has {len(description.media)} streams, the offer {place + 1 + len(local.after)}")
    audio = description.media[place]
    if not _is_plain_audio(audio):
        raise NothingInCommon(f"the audio was refused: m={audio.kind} {audio.port} {audio.proto}")
    return _remote(description, audio, local.codecs)


def offer_again(
    local: Local,
    codecs: Sequence[Codec],
    *,
    direction: Direction = Direction.SENDRECV,
    at: tuple[str, int] | None = None,
) -> Local:
    """Return the offer for an answered leg, to go out in our re-INVITE or in the 200 to one without a body.

    RFC 3264 §8.4: to put the leg's party on hold, `direction` is SENDONLY (it hears music) or INACTIVE.
    RFC 3264 §8.3.1: `at` is the relay's address for it from now on, where that is another.
    """
    host, port = at or (local.host, local.port)
    return local.revised(replace(local, host=host, port=port, codecs=tuple(codecs), direction=direction))


def read_answer_again(body: bytes, local: Local, before: Remote | None) -> Remote:
    """Return what an answered leg took of our new offer `local`; `before` is what it told us last.

    Whoever was offered no audio of ours cannot say that it would take any: then its own wish to hold, and where it
    takes audio, stay as they were.

    Raises:
        SdpError: as `read_answer`.
        NothingInCommon: as `read_answer`.
    """
    remote = read_answer(body, local)
    if local.direction.sends or before is None:
        return remote
    if remote.host is None:
        return replace(before, codecs=remote.codecs)
    return replace(remote, direction=before.direction)


def answer(
    body: bytes,
    local: Local,
    *,
    allowed: Sequence[Codec],
    most: Direction = Direction.SENDRECV,
    at: tuple[str, int] | None = None,
) -> tuple[Local, Remote]:
    """Return the answer to a leg's new offer, and what it says: hold, unhold, a new address, a session refresh.

    `most` is what we grant a leg that is on hold by the API; `at` is as in `offer_again`. `allowed` are the codecs that
    the other leg has; while there is none, those of `local`. Of these the answer holds the ones that the offer has
    under the same numbers.

    Raises:
        SdpError: it cannot be read.
        NothingInCommon: there is no audio in it that this call can have.
    """
    description = parse(body)
    place = next((index for index, media in enumerate(description.media) if _is_plain_audio(media)), None)
    if place is None:
        raise NothingInCommon("no plain RTP audio in the offer")
    audio = description.media[place]
    remote = _remote(description, audio, allowed)
    refused = [RefusedStream(media.kind, media.proto, media.formats) for media in description.media]
    host, port = at or (local.host, local.port)
    new = replace(
        local,
        host=host,
        port=port,
        codecs=tuple([replace(codec, fmtp=_fmtp(codec, allowed)) for codec in remote.codecs]),
        direction=remote.direction.mirrored.within(most),
        before=tuple(refused[:place]),
        after=tuple(refused[place + 1 :]),
    )
    return local.revised(new), remote


def agree(one: Remote, other: Remote) -> bool:
    """Return whether the codec that each leg is going to send is one that the other took."""
    return _takes_first(one, other) and _takes_first(other, one)


def _takes_first(sender: Remote, receiver: Remote) -> bool:
    first = next((codec for codec in sender.codecs if not codec.is_event), None)
    return first is not None and any(codec.matches(first) for codec in receiver.codecs)


def _is_plain_audio(media: Media) -> bool:
    return media.kind == "audio" and media.port != 0 and media.proto.upper() == PROTO


def _remote(description: Description, audio: Media, allowed: Iterable[Codec]) -> Remote:
    taken = tuple([codec for codec in audio.codecs if any(codec.matches(other) for other in allowed)])
    if not carries_sound(taken):
        raise NothingInCommon("no codec in common")
    host = description.address_of(audio)
    if host is None:
        raise SdpError("audio without c=")
    if not _is_address(host):
        # Deviates: RFC 8866 §5.7 allows a host name; no telephone sends one, and looking it up would hold the call up.
        raise SdpError("c= is not an address")
    # RFC 3264 §8.4: the older way to hold is the unspecified address; there is nowhere to send to until it ends.
    unspecified = host in {"0.0.0.0", "::"}
    direction = description.direction_of(audio)
    return Remote(host=None if unspecified else host, port=audio.port, codecs=taken, direction=direction)


def _is_address(host: str) -> bool:
    return len(host) <= LONGEST_ADDRESS and _is_short_address(host)


@lru_cache(1024)
def _is_short_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone means nothing outside of the host that wrote it


def _fmtp(codec: Codec, ours: Iterable[Codec]) -> str:
    """Return our own parameters of a codec: they say what *we* take (RFC 8866 §6.15)."""
    return next((other.fmtp for other in ours if other.matches(codec)), "")


def _refusal(stream: RefusedStream) -> Media:
    return Media(kind=stream.kind, port=0, proto=stream.proto, formats=stream.formats)
