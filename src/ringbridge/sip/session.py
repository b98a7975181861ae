"""A session: the INVITE usage of a dialog (RFC 3261 §13-§15), seen from either side."""

from __future__ import annotations

from ringbridge.sip.session_snapshot import SessionSnapshot


class Session:
    """One party that we invited (`caller` is true) or that invited us.

    The application holds it as a handle; it compares and hashes by identity.
    """

    __slots__ = ("answered", "caller", "sip_call_id")

    sip_call_id: str
    caller: bool
    answered: bool

    def snapshot(self) -> SessionSnapshot:
        """Return all that `Endpoint.restore` needs."""
        raise NotImplementedError
