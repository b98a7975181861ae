"""Names of things, each its own type so that a call-id is never mistaken for a SIP Call-ID (design.md "Words")."""

from __future__ import annotations

from typing import NewType

DomainName = NewType("DomainName", str)
"""A tenant: `[A-Za-z0-9._-]{1,64}` (contract §1)."""
UserName = NewType("UserName", str)
"""A person's extension: up to 16 of `[A-Za-z0-9._-]` (contract §1)."""
DeviceName = NewType("DeviceName", str)
"""The SIP user part of a phone's address-of-record, unique in its domain."""
CallId = NewType("CallId", str)
"""`call-id`, chosen by the application; never a SIP Call-ID (contract §3)."""
SessionId = NewType("SessionId", str)
"""`call-session-id`: ours, unique in the whole cluster."""
LegId = NewType("LegId", str)
"""One leg of one call: `o1`, `o2`… for origination targets, `t1`… for termination targets."""
NodeId = NewType("NodeId", str)
"""One Ringbridge process that keeps its name over restarts."""
KeyId = NewType("KeyId", str)
"""The public 12 characters by which an API key is named (contract §2)."""
