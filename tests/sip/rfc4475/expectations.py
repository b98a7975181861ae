"""What each of the 49 torture messages of RFC 4475 must get.

`refusals` are the statuses that a stateless look at the message may answer with (`message.parse`, then
`validation.validate_request`, then `registrar.check_register` for a REGISTER); `accepted` says whether passing is right
too. A message with neither is discarded. `answers` is how a user agent and registrar that knows none of the users may
answer what it accepts; empty: whatever the application decides. `stream_closes`: over TCP the connection ends.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Expectation:
    refusals: frozenset[int] = frozenset()
    accepted: bool = False
    answers: frozenset[int] = frozenset()
    stream_closes: bool = False

    def permits(self, final: int | None) -> bool:
        """Whether this final status, or no final response at all (None), is right on a real socket."""
        if final in self.refusals:
            return True
        if not self.accepted:
            return final is None and not self.refusals
        return not self.answers or final in self.answers


def _refused(*statuses: int, tolerated: bool = False, stream_closes: bool = False) -> Expectation:
    return Expectation(frozenset(statuses), tolerated, stream_closes=stream_closes)


def _accepted(*answers: int) -> Expectation:
    return Expectation(accepted=True, answers=frozenset(answers))


_DISCARDED = Expectation()
_REGISTERS = _accepted(401, 403, 404)  # nobody it knows
_OPTIONS = _accepted(200, 404)

EXPECTED: dict[str, Expectation] = {
    # §3.1.1, valid
    "wsinv": _accepted(),
    "intmeth": _refused(405, 501),
    "esc01": _accepted(),
    "escnull": _REGISTERS,
    "esc02": _refused(405, 501),
    "lwsdisp": _OPTIONS,
    "longreq": _accepted(),
    "dblreq": _REGISTERS,
    "semiuri": _OPTIONS,
    "transports": _OPTIONS,
    "mpart01": _refused(405, 501, tolerated=True),  # MESSAGE: read, but not a method of ours
    "unreason": _accepted(),
    "noreason": _accepted(),
    # §3.1.2, invalid
    "badinv01": _refused(400),
    "clerr": _refused(400),
    "ncl": _refused(400, stream_closes=True),
    "scalar02": _refused(400),
    "scalarlg": _DISCARDED,
    "quotbal": _refused(400),
    "ltgtruri": _refused(400),
    "lwsruri": _refused(400),
    "lwsstart": _refused(400, tolerated=True),
    "trws": _refused(400, tolerated=True),
    "escruri": _refused(400),
    "baddate": _refused(400, tolerated=True),
    "regbadct": _refused(400),
    "badaspec": _refused(400),
    "baddn": _refused(400, tolerated=True),
    "badvers": _refused(505),
    "mismatch01": _refused(400),
    "mismatch02": _refused(400, 501),
    "bigcode": _DISCARDED,
    # §3.2, transaction layer
    "badbranch": _refused(400, tolerated=True),
    # §3.3, application layer
    "insuf": _refused(400),
    "unkscm": _refused(416),
    "novelsc": _refused(416),
    "unksm2": _refused(400),
    "bext01": _refused(420),
    "invut": _refused(415),
    "regaut01": _accepted(401),
    "multi01": _refused(400),
    "mcl01": _refused(400, stream_closes=True),
    "bcast": _DISCARDED,
    "zeromf": _accepted(200, 404, 483),
    "cparam01": _REGISTERS,
    "cparam02": _REGISTERS,
    "regescrt": _REGISTERS,
    "sdp01": _refused(406),
    # §3.4, compatibility
    "inv2543": _accepted(),
}


def read(name: str) -> bytes:
    """Return the bytes of one message."""
    return (FOLDER / f"{name}.dat").read_bytes()
