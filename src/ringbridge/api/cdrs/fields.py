"""CDRs as the API's three schemas name them: `CdrD` for a domain, `CdrR` raw, `CdrU` as a user sees it (contract §6).

One table a schema, in the API's own order and spelling; JSON, CSV and the OpenAPI document are made from it. A field
without a reading is one that Ringbridge cannot know, and null. Where the API calls a name or number an integer, it is
one if it is all digits, and text as it stands if not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final, Literal, TypeAlias

from ringbridge.model.cdr import Cdr, Direction, host_part, parties_of, user_part
from ringbridge.model.cdr_query import total_seconds

Kind: TypeAlias = Literal["string", "int", "id", "bool", "mixed"]
"""`id` is what the API calls an integer and really is a name."""


ANONYMOUS: Final = "anonymous"
"""The number of a caller who is not shown (RFC 3323 §4.1.1.3)."""


class Seen:
    """A CDR as somebody sees it: in a time zone, and as one of its parties."""

    __slots__ = ("cdr", "direction", "domain", "user", "zone")

    def __init__(self, cdr: Cdr, zone: tzinfo = UTC, *, domain: str = "", user: str = "") -> None:
        self.cdr = cdr
        self.zone = zone
        self.domain = domain
        self.user = user
        mine = [one.direction for one in parties_of(cdr) if (one.domain, one.user) == (domain, user)] if user else []
        self.direction = mine[0] if mine else cdr.direction

    def when(self, at: float) -> str:
        """Return epoch seconds as RFC 3339; empty for what never happened."""
        return datetime.fromtimestamp(at, self.zone).isoformat(timespec="milliseconds") if at else ""


@dataclass(frozen=True, slots=True)
class CdrField:
    """One field of a schema."""

    name: str
    kind: Kind = "mixed"
    get: Callable[[Seen], object] | None = None


def number_or_text(text: str) -> int | str:
    """Return digits as a number, also behind a `+`; everything else as it is."""
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdigit() and len(digits) <= 18 and (digits[0] != "0" or digits == "0"):
        return int(digits)
    return text


def _said(text: str) -> str | None:
    return text or None


def _shown(text: str) -> int | str | None:
    """Return the number that was shown; None where the caller was hidden."""
    return None if text in ("", ANONYMOUS) else number_or_text(text)


def _maker_uri(cdr: Cdr) -> str:
    return f"sip:{cdr.user}@{cdr.domain}"


def _request_uri(cdr: Cdr) -> str:
    return f"sip:{cdr.asked}@{cdr.domain}"


def _dialled_uri(cdr: Cdr) -> str:
    return f"sip:{cdr.dialled}@{cdr.domain}"


def _term_match(cdr: Cdr) -> str:
    """Return what the second leg went by: a connection, or an address-of-record of ours."""
    return cdr.term_connection or cdr.term_uri


def _term_reseller(cdr: Cdr) -> str | None:
    return _said(cdr.reseller) if cdr.term_user else None


def _through_domain(seen: Seen) -> str | None:
    return seen.cdr.domain if seen.cdr.through_action else None


def _other_number(seen: Seen) -> str:
    """Return whom this user spoke with: what was dialled, or what was shown to the one who was called."""
    return seen.cdr.dialled if seen.direction is Direction.OUTBOUND else seen.cdr.term_caller_id


def _other_name(seen: Seen) -> str:
    return seen.cdr.term_name if seen.direction is Direction.OUTBOUND else seen.cdr.orig_name


CDR_D: Final = (
    CdrField("id", "string", lambda s: s.cdr.id),
    CdrField("domain", "string", lambda s: s.cdr.domain),
    CdrField("reseller", "string", lambda s: _said(s.cdr.reseller)),
    CdrField("call-account-code", "string"),
    CdrField("call-answer-datetime", "string", lambda s: s.when(s.cdr.answered_at)),
    CdrField("call-audio-codec", "string", lambda s: s.cdr.codec),
    CdrField("call-audio-relay-side-a-local-port", "int"),
    CdrField("call-audio-relay-side-a-packet-count", "int"),
    CdrField("call-audio-relay-side-a-remote-ip", "string", lambda s: _said(s.cdr.orig_media)),
    CdrField("call-audio-relay-side-b-packet-count", "int"),
    CdrField("call-audio-relay-side-b-remote-ip", "string", lambda s: _said(s.cdr.term_media)),
    CdrField("call-batch-answer-datetime", "string", lambda s: s.when(s.cdr.answered_at)),
    CdrField("call-batch-on-hold-duration-seconds", "int", lambda s: round(s.cdr.held_s)),
    CdrField("call-batch-sequence-marker", "string"),
    CdrField("call-batch-start-datetime", "string", lambda s: s.when(s.cdr.started_at)),
    CdrField("call-batch-total-duration-seconds", "int", lambda s: total_seconds(s.cdr)),
    CdrField("call-direction", "int", lambda s: s.cdr.direction),
    CdrField("call-disconnect-datetime", "string", lambda s: s.when(s.cdr.ended_at)),
    CdrField("call-disconnect-reason-text", "string", lambda s: s.cdr.disconnect_reason_text),
    CdrField("call-disposition", "mixed"),
    CdrField("call-disposition-notes", "mixed"),
    CdrField("call-disposition-reason", "mixed"),
    CdrField("call-disposition-submitted-datetime", "mixed"),
    CdrField("call-disposition-type", "mixed"),
    CdrField("call-fax-codec", "mixed"),
    CdrField("call-fax-relay-side-a-local-port", "mixed"),
    CdrField("call-fax-relay-side-a-packet-count", "mixed"),
    CdrField("call-fax-relay-side-a-remote-ip", "mixed"),
    CdrField("call-fax-relay-side-b-packet-count", "mixed"),
    CdrField("call-fax-relay-side-b-remote-ip", "mixed"),
    CdrField("call-leg-ordinal-index", "int", lambda _: 0),
    CdrField("call-on-hold-duration-seconds", "int", lambda s: round(s.cdr.held_s)),
    CdrField("call-orig-call-id", "string", lambda s: s.cdr.call_id),
    CdrField("call-orig-caller-id", "id", lambda s: _shown(s.cdr.term_caller_id)),
    CdrField("call-orig-department", "string", lambda s: _said(s.cdr.orig_department)),
    CdrField("call-orig-domain", "string", lambda s: s.cdr.orig_domain or s.cdr.domain),
    CdrField("call-orig-from-host", "string", lambda s: host_part(s.cdr.orig_uri)),
    CdrField("call-orig-from-name", "string", lambda s: s.cdr.orig_name),
    CdrField("call-orig-from-uri", "string", lambda s: s.cdr.orig_uri),
    CdrField("call-orig-from-user", "string", lambda s: user_part(s.cdr.orig_uri)),
    CdrField("call-orig-ip-address", "string", lambda s: s.cdr.orig_host),
    CdrField("call-orig-match-uri", "string", lambda s: s.cdr.orig_uri),
    CdrField("call-orig-pre-routing-uri", "string", lambda s: _maker_uri(s.cdr)),
    CdrField("call-orig-request-host", "string", lambda s: s.cdr.domain),
    CdrField("call-orig-request-uri", "string", lambda s: _request_uri(s.cdr)),
    CdrField("call-orig-request-user", "string", lambda s: s.cdr.asked),
    CdrField("call-orig-reseller", "string", lambda s: _said(s.cdr.reseller)),
    CdrField("call-orig-site", "string", lambda s: _said(s.cdr.orig_site)),
    CdrField("call-orig-to-host", "string", lambda s: host_part(s.cdr.term_uri)),
    CdrField("call-orig-to-uri", "string", lambda s: s.cdr.term_uri),
    CdrField("call-orig-to-user", "string", lambda s: s.cdr.dialled),
    CdrField("call-orig-user", "id", lambda s: number_or_text(s.cdr.orig_user or s.cdr.user)),
    CdrField("call-parent-call-id", "string"),
    CdrField("call-parent-cdr-id", "string"),
    CdrField("call-record-creation-datetime", "mixed", lambda s: s.when(s.cdr.ended_at)),
    CdrField("call-ringing-datetime", "mixed", lambda s: _said(s.when(s.cdr.ringing_at))),
    CdrField("call-routing-class", "int"),
    CdrField("call-routing-match-uri", "string", lambda s: _said(s.cdr.match_uri)),
    CdrField("call-start-datetime", "string", lambda s: s.when(s.cdr.started_at)),
    CdrField("call-tag", "string"),
    CdrField("call-talking-duration-seconds", "int", lambda s: round(s.cdr.talking_s)),
    CdrField("call-term-call-id", "string", lambda s: s.cdr.term_sip_call_id),
    CdrField("call-term-caller-id", "string", lambda s: s.cdr.orig_caller_id),
    CdrField("call-term-department", "mixed", lambda s: _said(s.cdr.term_department)),
    CdrField("call-term-domain", "string", lambda s: s.cdr.term_domain or host_part(s.cdr.term_uri)),
    CdrField("call-term-ip-address", "string", lambda s: s.cdr.term_host),
    CdrField("call-term-match-uri", "string", lambda s: _term_match(s.cdr)),
    CdrField("call-term-pre-reouting-uri", "string", lambda s: _dialled_uri(s.cdr)),
    CdrField("call-term-reseller", "mixed", lambda s: _term_reseller(s.cdr)),
    CdrField("call-term-site", "mixed", lambda s: _said(s.cdr.term_site)),
    CdrField("call-term-to-uri", "string", lambda s: s.cdr.term_uri),
    CdrField("call-term-user", "mixed", lambda s: _said(s.cdr.term_user)),
    CdrField("call-through-action", "string", lambda s: _said(s.cdr.through_action)),
    CdrField("call-through-call-id", "mixed", lambda s: _said(s.cdr.through_sip_call_id)),
    CdrField("call-through-caller-id", "mixed", lambda s: _said(s.cdr.through_caller_id)),
    CdrField("call-through-department", "mixed"),
    CdrField("call-through-domain", "mixed", _through_domain),
    CdrField("call-through-reseller", "mixed"),
    CdrField("call-through-site", "mixed"),
    CdrField("call-through-uri", "mixed", lambda s: _said(s.cdr.through_uri)),
    CdrField("call-through-user", "mixed", lambda s: _said(s.cdr.through_user)),
    CdrField("call-total-duration-seconds", "int", lambda s: total_seconds(s.cdr)),
    CdrField("call-video-codec", "mixed"),
    CdrField("call-video-relay-side-a-local-port", "mixed"),
    CdrField("call-video-relay-side-a-packet-count", "mixed"),
    CdrField("call-video-relay-side-a-remote-ip", "mixed"),
    CdrField("call-video-relay-side-b-packet-count", "mixed"),
    CdrField("call-video-relay-side-b-remote-ip", "mixed"),
    CdrField("call-server-mac-address", "string"),
    CdrField("core-server", "string", lambda s: s.cdr.node),
    CdrField("hide-from-results", "int", lambda _: 0),
    CdrField("is-trace-expected", "bool", lambda _: False),
    CdrField("prefilled-trace-api", "string"),
)
"""A domain's view."""

CDR_R: Final = (
    CdrField("id", "string", lambda s: s.cdr.id),
    CdrField("hostname", "string", lambda s: s.cdr.node),
    CdrField("mac", "string"),
    CdrField("cdr_index", "int", lambda _: 0),
    CdrField("orig_callid", "string", lambda s: s.cdr.call_id),
    CdrField("orig_ip", "string", lambda s: s.cdr.orig_host),
    CdrField("orig_match", "string", lambda s: s.cdr.orig_uri),
    CdrField("orig_sub", "string", lambda s: s.cdr.orig_user or s.cdr.user),
    CdrField("orig_domain", "string", lambda s: s.cdr.orig_domain or s.cdr.domain),
    CdrField("orig_group", "mixed", lambda s: _said(s.cdr.orig_department)),
    CdrField("orig_from_uri", "string", lambda s: s.cdr.orig_uri),
    CdrField("orig_from_name", "string", lambda s: s.cdr.orig_name),
    CdrField("orig_from_user", "id", lambda s: number_or_text(user_part(s.cdr.orig_uri))),
    CdrField("orig_from_host", "string", lambda s: host_part(s.cdr.orig_uri)),
    CdrField("orig_req_uri", "string", lambda s: _request_uri(s.cdr)),
    CdrField("orig_req_user", "string", lambda s: s.cdr.asked),
    CdrField("orig_req_host", "string", lambda s: s.cdr.domain),
    CdrField("orig_to_uri", "string", lambda s: s.cdr.term_uri),
    CdrField("orig_to_user", "string", lambda s: s.cdr.dialled),
    CdrField("orig_to_host", "string", lambda s: host_part(s.cdr.term_uri)),
    CdrField("by_action", "string", lambda s: _said(s.cdr.through_action)),
    CdrField("by_sub", "string", lambda s: _said(s.cdr.through_user)),
    CdrField("by_domain", "string", _through_domain),
    CdrField("by_group", "mixed"),
    CdrField("by_uri", "string", lambda s: _said(s.cdr.through_uri)),
    CdrField("by_callid", "string", lambda s: _said(s.cdr.through_sip_call_id)),
    CdrField("term_callid", "string", lambda s: s.cdr.term_sip_call_id),
    CdrField("term_ip", "string", lambda s: s.cdr.term_host),
    CdrField("term_match", "string", lambda s: _term_match(s.cdr)),
    CdrField("term_sub", "string", lambda s: _said(s.cdr.term_user)),
    CdrField("term_domain", "string", lambda s: s.cdr.term_domain or host_part(s.cdr.term_uri)),
    CdrField("term_to_uri", "string", lambda s: s.cdr.term_uri),
    CdrField("term_group", "mixed", lambda s: _said(s.cdr.term_department)),
    CdrField("time_start", "int", lambda s: int(s.cdr.started_at)),
    CdrField("time_ringing", "mixed", lambda s: int(s.cdr.ringing_at) or None),
    CdrField("time_answer", "int", lambda s: int(s.cdr.answered_at)),
    CdrField("time_release", "int", lambda s: int(s.cdr.ended_at)),
    CdrField("time_talking", "int", lambda s: round(s.cdr.talking_s)),
    CdrField("time_holding", "int", lambda s: round(s.cdr.held_s)),
    CdrField("duration", "int", lambda s: total_seconds(s.cdr)),
    CdrField("time_insert", "mixed", lambda s: int(s.cdr.ended_at)),
    CdrField("time_disp", "mixed"),
    CdrField("release_code", "string", lambda s: str(s.cdr.cause.sip_status or s.cdr.cause.reason)),
    CdrField("release_text", "string", lambda s: s.cdr.disconnect_reason_text),
    CdrField("codec", "string", lambda s: s.cdr.codec),
    CdrField("rly_prt_0", "int"),
    CdrField("rly_prt_a", "string", lambda s: _said(s.cdr.orig_media)),
    CdrField("rly_prt_b", "string", lambda s: _said(s.cdr.term_media)),
    CdrField("rly_cnt_a", "int"),
    CdrField("rly_cnt_b", "int"),
    CdrField("image_codec", "mixed"),
    CdrField("image_prt_0", "mixed"),
    CdrField("image_prt_a", "mixed"),
    CdrField("image_prt_b", "mixed"),
    CdrField("image_cnt_a", "mixed"),
    CdrField("image_cnt_b", "mixed"),
    CdrField("video_codec", "mixed"),
    CdrField("video_prt_0", "mixed"),
    CdrField("video_prt_a", "mixed"),
    CdrField("video_prt_b", "mixed"),
    CdrField("video_cnt_a", "mixed"),
    CdrField("video_cnt_b", "mixed"),
    CdrField("disp_type", "mixed"),
    CdrField("disposition", "mixed"),
    CdrField("reason", "mixed"),
    CdrField("notes", "mixed"),
    CdrField("pac", "mixed"),
    CdrField("orig_logi_uri", "string", lambda s: _maker_uri(s.cdr)),
    CdrField("term_logi_uri", "string", lambda s: _dialled_uri(s.cdr)),
    CdrField("batch_tim_beg", "int", lambda s: int(s.cdr.started_at)),
    CdrField("batch_tim_ans", "int", lambda s: int(s.cdr.answered_at)),
    CdrField("batch_hold", "int", lambda s: round(s.cdr.held_s)),
    CdrField("batch_dura", "int", lambda s: total_seconds(s.cdr)),
    CdrField("orig_id", "int"),
    CdrField("term_id", "int"),
    CdrField("by_id", "int"),
    CdrField("route_to", "string", lambda s: _said(s.cdr.match_uri)),
    CdrField("route_class", "int"),
    CdrField("orig_territory", "string", lambda s: _said(s.cdr.reseller)),
    CdrField("orig_site", "string", lambda s: _said(s.cdr.orig_site)),
    CdrField("by_site", "string"),
    CdrField("by_territory", "string"),
    CdrField("term_territory", "mixed", lambda s: _term_reseller(s.cdr)),
    CdrField("term_site", "mixed", lambda s: _said(s.cdr.term_site)),
    CdrField("servedCallId", "string", lambda s: s.cdr.call_id),
)
"""Raw."""

CDR_U: Final = (
    CdrField("uid", "string", lambda s: f"{s.user}@{s.domain}"),
    CdrField("domain", "string", lambda s: s.domain),
    CdrField("cdr_id", "string", lambda s: s.cdr.id),
    CdrField("type", "int", lambda s: s.direction),
    CdrField("time_start", "int", lambda s: int(s.cdr.started_at)),
    CdrField("time_answer", "int", lambda s: int(s.cdr.answered_at)),
    CdrField("time_release", "int", lambda s: int(s.cdr.ended_at)),
    CdrField("duration", "int", lambda s: total_seconds(s.cdr)),
    CdrField("orig_to_uri", "string", lambda s: s.cdr.term_uri),
    CdrField("number", "string", _other_number),
    CdrField("name", "string", _other_name),
    CdrField("onnet", "int", lambda s: int(s.cdr.is_on_net)),
    CdrField("hide", "int", lambda _: 0),
    CdrField("tag", "string"),
    CdrField("expected_trace", "bool", lambda _: False),
)
"""As one of its parties sees it."""

OURS: Final = (
    CdrField("call-id", "string", lambda s: s.cdr.call_id),
    CdrField("call-session-id", "string", lambda s: s.cdr.id),
    CdrField("call-by-user", "string", lambda s: s.cdr.user),
    CdrField("call-orig-answer-datetime", "string", lambda s: s.when(s.cdr.orig_answered_at)),
    CdrField("call-orig-sip-call-id", "string", lambda s: s.cdr.orig_sip_call_id),
    CdrField("call-ended-by", "string", lambda s: s.cdr.ended_by),
)
"""What we add beside the schemas, with `release-cause`."""
