"""CDRs that the tests of this folder share."""

from __future__ import annotations

import msgspec

from ringbridge.model.cdr import Cdr
from ringbridge.model.release import HUNG_UP

CDR = Cdr(
    id="s-1",
    domain="demo",
    user="1001",
    call_id="c1",
    started_at=1000.0,
    ringing_at=1001.0,
    orig_answered_at=1001.0,
    answered_at=1002.0,
    ended_at=1010.0,
    talking_s=8.0,
    total_s=10.0,
    held_s=0.0,
    cause=HUNG_UP,
    ended_by="origination",
    disconnect_reason_text="Orig: Bye",
    orig_user="1001",
    orig_uri="sip:1001@demo",
    orig_caller_id="1002",
    orig_sip_call_id="sip-o1",
    term_user="1002",
    term_uri="sip:1002@demo",
    term_caller_id="1001",
    term_sip_call_id="sip-t1",
    dialled="1002",
    codec="PCMU",
    node="n1",
    orig_domain="demo",
    term_domain="demo",
    asked="1002",
)
"""A joined call from 1001 to 1002."""


def cdr(name: str, **changes: object) -> Cdr:
    """Return the sample with another id and `changes`."""
    return msgspec.structs.replace(CDR, id=f"s-{name}", call_id=name, **changes)


def outside(number: str) -> dict[str, object]:
    """Return the changes that make the second leg a number outside."""
    return {"term_user": "", "term_domain": "", "term_uri": f"sip:{number}@carrier.example", "dialled": number}
