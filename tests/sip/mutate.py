"""Broken SIP messages by the hundred thousand, the same ones for the same seed."""

from collections.abc import Iterator
from random import Random

from tests.sip import samples
from tests.sip.rfc4475.expectations import EXPECTED, read

_TOKENS = (
    b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\x00", b"\r\n ", b"\t", b'"', b'\\"', b"<", b">", b";", b",", b":", b"=",
    b"@", b"%00", b"%zz", b"%0d%0a", b" ", b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"*", b"z9hG4bK", b"\xff\xfe",
    b"\xc3\x28", b"99999999999999999999", b"-1", b"4294967296", b";tag=", b";branch=", b";rport", b"[::1]", b"?", b"&",
    b"Content-Length: 5\r\n", b"l: -1\r\n", b"Via: \r\n", b"v: SIP/2.0/UDP a\r\n", b"Contact: *\r\n",
    b"CSeq: 1 BYE\r\n", b"Require: \r\n", b"Expires: x\r\n", b"Route: <sip:a;lr>\r\n",
    b"\xf0\x9f\x93\x9e", b"\xc2\x85", b"\xe2\x80\xa8",
)  # fmt: skip

_LONGEST = 70_000


def corpus() -> list[bytes]:
    """Return the messages that are broken: the torture test and ordinary ones, in equal numbers."""
    torture = [read(name) for name in sorted(EXPECTED)]
    ordinary = list(samples.ALL)
    return torture + ordinary * (len(torture) // len(ordinary) + 1)


def _once(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    here = random.randrange(len(data) + 1)
    there = min(len(data), here + random.choice((1, 2, 8, 64, 512)))
    match random.randrange(9):
        case 0 if here < len(data):  # a bit
            data[here] ^= 1 << random.randrange(8)
        case 1 if here < len(data):  # a byte
            data[here] = random.randrange(256)
        case 2:  # something with a meaning
            data[here:here] = random.choice(_TOKENS)
        case 3:
            data[here:there] = random.choice(_TOKENS)
        case 4:
            del data[here:there]
        case 5:  # said again
            data[here:here] = data[here:there] * random.choice((1, 2, 100))
        case 6:
            del data[here:]
        case 7:  # the end of another message
            other = random.choice(others)
            data[here:] = other[random.randrange(len(other)) :]
        case _:  # lines in another order
            lines = bytes(data).split(b"\r\n")
            i, j = random.randrange(len(lines)), random.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data[:] = b"\r\n".join(lines)
    return data


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` broken messages, each with one to six wounds, none above 70,000 bytes."""
    random = Random(seed)
    messages = corpus()
    for _ in range(count):
        data = bytearray(random.choice(messages))
        for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
            data = _once(random, data, messages)
        yield bytes(data[:_LONGEST])
