"""The registrar's rules (RFC 3261 §10.3, RFC 3327 for Path), without its storage.

`register` looks at one REGISTER and the bindings that its address-of-record has, and says what to write, what to delete
and what to answer. Who sent it is settled before (`digest_server`); storing the decision, and doing so for one
address-of-record at a time, is the caller's.

A phone behind a NAT names an address in its Contact that nobody outside can reach. So where the request came from is
kept beside it, and is the target whenever the Contact does not itself lead there.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Final

from msgspec import Struct

from ringbridge.sip.errors import ProtocolError, UnsafeHeader
from ringbridge.sip.headers import parse_seconds
from ringbridge.sip.message import Request
from ringbridge.sip.peer import Peer, Transport
from ringbridge.sip.uri import NameAddress, Uri

_FALLBACK_EXPIRES_S: Final = 3600  # RFC 3261 §10.2: what a malformed expires parameter means
_LONGEST_REFUSABLE_S: Final = 3600  # RFC 3261 §10.3: 423 is only for less than an hour


@dataclass(frozen=True, slots=True)
class RegistrarRules:
    """Bounds of a registration; times in seconds."""

    default_expires_s: int = 3600  # RFC 3261 §10.2
    min_expires_s: int = 60  # below, REGISTERs would be most of the load
    max_expires_s: int = 7200  # a phone that vanished is forgotten after two hours
    max_contacts: int = 10  # how many phones may share one device's credentials; each is rung


class Binding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where an address-of-record can be reached until `expires_at` (the caller's clock: epoch seconds)."""

    contact: str
    """The Contact's URI as it was sent; with the address-of-record, the key of the binding."""
    received: Peer
    """Where the REGISTER came from."""
    expires_at: float
    call_id: str
    cseq: int
    q: float = 1.0
    """Preference, 0 to 1 (RFC 3261 §20.10)."""
    instance: str = ""
    """`+sip.instance` (RFC 5626 §4.1), or ""."""
    path: tuple[str, ...] = ()
    """Path values, topmost first: the route set of requests to this contact."""
    user_agent: str = ""

    @property
    def target(self) -> Peer:
        """Where to send requests for this contact, unless it has a Path."""
        uri = Uri.parse(self.contact)
        named = (uri.param("transport") or ("tls" if uri.scheme == "sips" else "udp")).upper()
        transport = Transport(named) if named in Transport.__members__ else self.received.transport
        if transport.reliable or self.received.transport.reliable or not _same_host(uri.address, self.received.host):
            return self.received
        return Peer(transport, uri.address, uri.port or 5060)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a REGISTER comes to: bindings to write (new or renewed) and to delete, and the answer."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    write: tuple[Binding, ...] = ()
    delete: tuple[Binding, ...] = ()


def address_of_record(request: Request) -> Uri:
    """Return whom a REGISTER is about: the To URI (RFC 3261 §10.3 step 5).

    Deviates: that step has it compared with the domain of the Request-URI. Phones that were given our address as the
    registrar put that there; whose domain it is, and whether we have it, the To alone says.

    Raises:
        ProtocolError: 400, not a SIP URI, or without a user.
    """
    try:
        uri = request.to.parsed_uri()
    except ProtocolError:
        raise ProtocolError(400, "Bad To in REGISTER", request=request) from None
    if uri.scheme not in ("sip", "sips") or not uri.user:
        raise ProtocolError(400, "Bad To in REGISTER", request=request)
    return uri


def check_register(request: Request) -> ProtocolError | None:
    """Return why a REGISTER is refused whoever sent it (400: malformed To, Contact or Path), or None.

    For before the challenge: what is malformed need not be authenticated.
    """
    try:
        address_of_record(request)
        if request.lines("Contact") != ["*"]:
            for contact in request.contacts:
                _contact_uri(contact)
        for value in request.all("Path"):
            NameAddress.parse(value)
    except ProtocolError as fault:
        fault.request = request
        return fault
    return None


def register(
    request: Request,
    current: Sequence[Binding],
    *,
    peer: Peer,
    now: float,
    rules: RegistrarRules = RegistrarRules(),
) -> Registered:
    """Decide about a REGISTER whose sender has been authenticated; `current` are the bindings of its `aor`.

    `now` is in epoch seconds: it becomes the Date of the answer.

    Refusals: 400 (malformed, or `*` misused), 423 with Min-Expires, 403 (too many contacts), 500 (older than what the
    same Call-ID has registered).
    """
    live = [binding for binding in current if binding.expires_at > now]
    expired = tuple(binding for binding in current if binding.expires_at <= now)
    try:
        if request.lines("Contact") == ["*"]:
            decided = _unregister_all(request, live, now)
        else:
            decided = _update(request, live, peer=peer, now=now, rules=rules)
    except ProtocolError as fault:
        return Registered(fault.status or 400, fault.reason, fault.headers)
    return replace(decided, delete=decided.delete + expired)


def _unregister_all(request: Request, live: list[Binding], now: float) -> Registered:
    if request.first("Expires") is None or request.expires != 0:
        raise ProtocolError(400, "Contact: * needs Expires: 0")
    for binding in live:
        _check_order(request, binding)
    return Registered(200, "OK", _answer(request, [], (), now), delete=tuple(live))


def _check_order(request: Request, binding: Binding) -> None:
    """RFC 3261 §10.3 steps 6 and 7: within one Call-ID only a higher CSeq may change a binding."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise ProtocolError(500, "REGISTER out of order")


def _update(request: Request, live: list[Binding], *, peer: Peer, now: float, rules: RegistrarRules) -> Registered:
    contacts = request.contacts
    if len(contacts) > rules.max_contacts:
        raise ProtocolError(403, "Too Many Contacts")
    path = tuple(request.all("Path"))
    for value in path:
        NameAddress.parse(value)
    kept = list(live)
    written: list[Binding] = []
    deleted: list[Binding] = []
    for contact in contacts:
        uri = _contact_uri(contact)
        lasts_s = _lasts_s(request, contact, rules)
        instance = contact.param("+sip.instance") or ""
        for old in [each for each in kept if _replaces(uri, instance, each)]:
            _check_order(request, old)
            kept.remove(old)
            deleted.append(old)
        written = [each for each in written if not Uri.parse(each.contact).equivalent(uri)]
        if lasts_s:
            written.append(
                Binding(
                    contact=contact.uri,
                    received=peer,
                    expires_at=now + lasts_s,
                    call_id=request.call_id,
                    cseq=request.cseq.number,
                    q=_preference(contact),
                    instance=instance,
                    path=path,
                    user_agent=(request.first("User-Agent") or "")[:200],
                )
            )
    while len(kept) + len(written) > rules.max_contacts:
        # Phones that move between networks leave bindings behind without a word: the oldest give way to the newest.
        kept.sort(key=lambda each: each.expires_at)
        deleted.append(kept.pop(0))
    written_contacts = {each.contact for each in written}
    gone = tuple(each for each in deleted if each.contact not in written_contacts)
    return Registered(200, "OK", _answer(request, kept + written, path, now), tuple(written), gone)


def _contact_uri(contact: NameAddress) -> Uri:
    try:
        uri = contact.parsed_uri()
    except ProtocolError:
        raise ProtocolError(400, "Bad Contact in REGISTER") from None
    if uri.scheme not in ("sip", "sips"):
        raise ProtocolError(400, "Bad Contact in REGISTER")
    return uri


def _lasts_s(request: Request, contact: NameAddress, rules: RegistrarRules) -> int:
    """Return for how many seconds a contact is bound, 0 to remove it (RFC 3261 §10.3 step 7)."""
    if "expires" in contact.params:
        asked = _seconds("expires", contact.param("expires") or "")
    else:
        header = request.first("Expires")
        asked = rules.default_expires_s if header is None else _seconds("Expires", header)
    if 0 < asked < min(rules.min_expires_s, _LONGEST_REFUSABLE_S):
        raise ProtocolError(423, "Interval Too Brief", headers=(("Min-Expires", str(rules.min_expires_s)),))
    return min(asked, rules.max_expires_s)


def _seconds(name: str, text: str) -> int:
    try:
        return parse_seconds(name, text)
    except ProtocolError:
        return _FALLBACK_EXPIRES_S


def _preference(contact: NameAddress) -> float:
    text = contact.param("q")
    if text is None:
        return 1.0
    try:
        q = float(text)
    except ValueError:
        raise ProtocolError(400, "Bad q in Contact") from None
    if not 0 <= q <= 1:
        raise ProtocolError(400, "Bad q in Contact")
    return q


def _replaces(uri: Uri, instance: str, old: Binding) -> bool:
    """Whether a new contact takes the place of an old binding.

    Deviates: RFC 3261 §10.3 compares the URIs alone, and RFC 5626 §6 adds the instance only together with a reg-id. But
    a phone that restarts has another port, and its dead contact would be rung too: the same instance is the same phone.
    """
    return (bool(instance) and instance == old.instance) or Uri.parse(old.contact).equivalent(uri)


def _answer(
    request: Request, bindings: list[Binding], path: tuple[str, ...], now: float
) -> tuple[tuple[str, str], ...]:
    headers = []
    for binding in bindings:
        lasts_s = max(1, round(binding.expires_at - now))
        params = {"expires": str(lasts_s)}
        if binding.q != 1.0:
            params["q"] = f"{binding.q:g}"
        if binding.instance:
            params["+sip.instance"] = binding.instance
        try:
            headers.append(("Contact", NameAddress("", binding.contact, params).serialize()))
        except UnsafeHeader:
            raise ProtocolError(400, "Bad Contact in REGISTER") from None
    if "path" in (option.lower() for option in request.tokens("Supported")):
        headers += [("Path", value) for value in path]
    headers.append(("Date", formatdate(now, usegmt=True)))  # §10.3 step 8: phones set their clock by it
    return tuple(headers)


def _same_host(host: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(address)
    except ValueError:
        return False  # a name: where the request came from is surer than a look-up
