"""100,000 broken SIP messages at one endpoint: nothing raised, nothing kept."""

import gc
from pathlib import Path
from resource import getpagesize

from ringbridge.sip.endpoint_settings import EndpointSizes
from tests.sip.test_endpoint_torture import endpoint, throw


def held() -> tuple[int, int]:
    """Return how many objects this process holds, and how many bytes."""
    gc.collect()
    return len(gc.get_objects()), int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def test_100_000_broken_messages_leave_nothing_behind() -> None:
    target = endpoint()
    throw(target, seed=1, messages=20_000)  # whatever is remembered on purpose is remembered now
    objects_before, bytes_before = held()
    for seed in range(2, 6):
        throw(target, seed=seed, messages=20_000)
    assert target.counters.received == 100_000
    assert target.sizes() == EndpointSizes(0, 0, 0, 0, 0)
    objects, resident = held()
    assert objects - objects_before < 1_000
    assert resident - bytes_before < 8 * 1024 * 1024
