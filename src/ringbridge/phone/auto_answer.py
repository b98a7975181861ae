"""Whether an INVITE asks the phone to answer by itself: what the phone families of contract §3 look for."""

from __future__ import annotations

import re

from ringbridge.sip.message import Request

_ASKING = (
    ("Call-Info", re.compile(r";\s*answer-after\s*=\s*0\b", re.IGNORECASE)),
    ("Alert-Info", re.compile(r"alert-autoanswer|auto[ -]?answer", re.IGNORECASE)),
    ("Answer-Mode", re.compile(r"^\s*auto\b", re.IGNORECASE)),
    ("P-Auto-answer", re.compile(r"^\s*normal\b", re.IGNORECASE)),
)


def auto_answer_asked(request: Request) -> str | None:
    """Return the name of the first header that asks for it (RFC 5373 §4.3.3 for Answer-Mode), or None."""
    for name, pattern in _ASKING:
        if any(pattern.search(value) for value in request.all(name)):
            return name
    return None
