"""Examples in the OpenAPI document: one call of the sample domain, told from every side."""

from __future__ import annotations

from typing import Final

from ringbridge.api.operations import Schema

_AT = "2026-11-23T10:00:0"
_COMPLETED: Final[Schema] = {"result": "completed", "reason": "hung-up", "sip-status": None}

CALL_REQUEST_EXAMPLE: Final[Schema] = {
    "synchronous": "no",
    "call-id": "b7f9c2d4-click-1",
    "call-orig-user": "1001",
    "call-term-user": "1002",
}


def _leg(side: str, leg_id: str, user: str, seconds: str) -> Schema:
    return {
        "leg": side,
        "leg-id": leg_id,
        "target": user,
        "target-uri": f"sip:{user}@demo",
        "user": user,
        "device": user,
        "connection": "",
        "state": "answered",
        "sip-call-id": f"q8Zt{user}hK",
        "invited-datetime": f"{_AT}{seconds}.010+00:00",
        "ringing-datetime": f"{_AT}{seconds}.042+00:00",
        "answered-datetime": f"{_AT}{seconds}.900+00:00",
        "released-datetime": "",
        "codec": "PCMU",
        "held": False,
        "transfer": 0,
        "flow": "talk",
        "release-cause": None,
    }


CALL_EXAMPLE: Final[Schema] = {
    "core-server": "node-1",
    "call-session-id": "01JD7Z4Q3V",
    "call-orig-call-id": "b7f9c2d4-click-1",
    "call-orig-match-uri": "sip:1001@demo",
    "call-orig-user": "1001",
    "call-orig-domain": "demo",
    "call-orig-uri": "sip:1001@demo",
    "call-orig-name": "Ada Lovelace",
    "caller-id-number": "1001",
    "call-dialed-number": "1002",
    "call-by-action": "call",
    "call-by-user": "1001",
    "call-by-domain": "demo",
    "call-by-call-id": "b7f9c2d4-click-1",
    "call-term-call-id": "q8Zt1002hK",
    "call-term-user": "1002",
    "call-term-domain": "demo",
    "call-term-uri": "sip:1002@demo",
    "call-start-datetime": f"{_AT}0.000+00:00",
    "call-answer-datetime": f"{_AT}1.900+00:00",
    "call-orig-info": "UDP 192.0.2.10:5060",
    "term-orig-info": "UDP 192.0.2.11:5060",
    "call-audio-codec": "PCMU",
    "call-id": "b7f9c2d4-click-1",
    "call-state": "connected",
    "call-end-datetime": "",
    "call-legs": [_leg("origination", "o1", "1001", "0"), _leg("termination", "t1", "1002", "1")],
    "call-order": None,
    "release-cause": None,
}

LADDER_EXAMPLE: Final[Schema] = {
    "call-id": "b7f9c2d4-click-1",
    "call-state": "ended",
    "steps": [
        {"at": f"{_AT}0.000+00:00", "ms": 0.0, "step": "requested", "leg": "", "leg-id": "", "detail": "1002"},
        {
            "at": f"{_AT}0.010+00:00",
            "ms": 10.0,
            "step": "invite",
            "leg": "origination",
            "leg-id": "o1",
            "detail": "1001",
        },
    ],
    "release-cause": _COMPLETED,
}
