"""What a user agent refuses before it acts on a request (RFC 3261 §8.2), in the order of that section.

`message.parse` has checked that the message can be handled at all; this checks that we are the ones to do it.
"""

from dataclasses import dataclass
from typing import Final

from ringbridge.sip.errors import ProtocolError
from ringbridge.sip.headers import MediaType
from ringbridge.sip.message import Request, Response
from ringbridge.sip.message_base import Message
from ringbridge.sip.params import split
from ringbridge.sip.uri import Uri

METHODS: Final = frozenset(("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO"))

_REGISTERED: Final = METHODS | {"SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "MESSAGE"}
_SDP: Final = "application/sdp"
_WITH_SDP: Final = frozenset(("INVITE", "UPDATE", "PRACK"))


@dataclass(frozen=True, slots=True)
class Rules:
    """What we can do. `options` are the option tags that a peer may require."""

    methods: frozenset[str] = METHODS
    options: frozenset[str] = frozenset(("100rel", "timer", "replaces", "path", "norefersub"))


DEFAULT: Final = Rules()


def validate_request(request: Request, rules: Rules = DEFAULT) -> ProtocolError | None:
    """Return why a request is refused, with the status and headers of the answer, or None.

    Not for ACK, which nothing answers. A CANCEL is not asked for its options (RFC 3261 §8.2.2.3). Of an INVITE that
    offers SDP in a form that we cannot read, or that would not accept ours: 415 or 406 with what we take.
    """
    try:
        _check_method(request, rules)
        _check_uri(request)
        _check_addresses(request)
        if request.method != "CANCEL":
            _check_options(request, rules)
            _check_body(request)
    except ProtocolError as fault:
        fault.request = request
        return fault
    return None


def validate_response(response: Response) -> ProtocolError | None:
    """Return why a response is to be dropped, or None: we are the last hop, so a second Via means that it is another's.

    RFC 3261 §8.1.3.3.
    """
    vias = [value for name, value in response.headers if name == "Via"]
    if len(vias) != 1 or ("," in vias[0] and len(split(vias[0], ",")) != 1):
        return ProtocolError(None, "Not one Via in a response")
    return None


def _check_method(request: Request, rules: Rules) -> None:
    if request.method in rules.methods:
        return
    allow = (("Allow", ", ".join(sorted(rules.methods))),)
    if request.method in _REGISTERED:
        raise ProtocolError(405, "Method Not Allowed", headers=allow)
    raise ProtocolError(501, "Not Implemented", headers=allow)


def _check_uri(request: Request) -> None:
    uri = Uri.parse(request.uri)
    if uri.headers:
        # RFC 3261 §19.1.1 Table 1: a Request-URI has no headers; they would smuggle in a Route or a body.
        raise ProtocolError(400, "Headers in the Request-URI")


def _check_addresses(request: Request) -> None:
    _ = request.max_forwards
    branch = request.via.branch
    if branch is not None and not request.via.has_cookie and branch[:7].lower() == "z9hg4bk":
        raise ProtocolError(400, "Empty branch in Via")
    contacts = request.lines("Contact")
    if request.method == "REGISTER":
        return  # the registrar reads them, `*` too
    if contacts and len(request.contacts) > 1 and request.method in ("INVITE", "UPDATE"):
        raise ProtocolError(400, "More than one Contact")
    for contact in request.contacts:
        if request.method in ("INVITE", "UPDATE"):
            contact.parsed_uri()
    _ = request.routes
    _ = request.record_routes


def _check_options(request: Request, rules: Rules) -> None:
    unknown = [option for option in request.tokens("Require") if option.lower() not in rules.options]
    if unknown:
        raise ProtocolError(420, "Bad Extension", headers=(("Unsupported", ", ".join(unknown)),))


def _check_body(request: Request) -> None:
    if request.method not in _WITH_SDP:
        return
    encoding = request.first("Content-Encoding")
    if request.body and encoding is not None and encoding.lower() != "identity":
        raise ProtocolError(415, "Unsupported Media Type", headers=(("Accept-Encoding", "identity"),))
    if request.body and not _optional(request):
        media_type = request.content_type
        if media_type is None:
            raise ProtocolError(400, "A body without Content-Type")
        if media_type != _SDP:
            raise ProtocolError(415, "Unsupported Media Type", headers=(("Accept", _SDP),))
    if request.method == "INVITE" and not _accepts_sdp(request):
        raise ProtocolError(406, "Not Acceptable", headers=(("Accept", _SDP),))


def _optional(message: Message) -> bool:
    """Whether the sender says that the body may be passed over (RFC 3261 §20.11)."""
    disposition = message.first("Content-Disposition")
    return disposition is not None and "handling=optional" in disposition.lower().replace(" ", "")


def _accepts_sdp(request: Request) -> bool:
    ranges = request.all("Accept")
    return not ranges or any(MediaType.parse(each).covers(_SDP) for each in ranges if each)
