"""What a write of the directory answers: 200 with the resource when that is asked for and here, else 202.

Either way the answer waits a moment until this node's copy has the write, so that what was accepted can be read and
used here at once (contract §1). A copy that is late makes nothing undone: then the answer is 202.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from ringbridge.api.http.answers import Answer, HeaderPair, accepted, json_answer
from ringbridge.api.parts import ApiParts
from ringbridge.model.errors import Fault
from ringbridge.model.wire import YES_NO, json_type, shown


def read_synchronous(body: Mapping[str, object], faults: list[Fault]) -> bool:
    """Return whether `synchronous` is asked for; a wrong value is added to `faults`."""
    asked = body.get("synchronous", "no")
    if asked in YES_NO:
        return asked == "yes"
    found = shown(asked) if isinstance(asked, str) else json_type(asked)
    faults.append(Fault("synchronous", "not-one-of", "must be yes or no", found=found, allowed="yes, no"))
    return False


async def written_answer(
    parts: ApiParts,
    sequence: int,
    *,
    read: Callable[[], Awaitable[object | None]] | None = None,
    told: Mapping[str, str] | None = None,
    headers: Iterable[HeaderPair] = (),
) -> Answer:
    """Return the answer to a write that the directory holds at `sequence`.

    `read` gives the resource for `synchronous: yes`, None where it is gone again; `told` is said this once.
    """
    wait_s = parts.settings.sync_wait_s if read is not None else parts.settings.shown_wait_s
    here = await parts.replica.wait_directory(sequence, timeout_s=wait_s)
    resource = await read() if read is not None and here else None
    if isinstance(resource, dict):
        return json_answer(resource | dict(told or {}), headers=headers)
    if told:
        return json_answer({"code": 202, "message": "Accepted"} | dict(told), status=202, headers=headers)
    return accepted(headers=headers)
