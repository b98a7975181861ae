"""Answer rules: what becomes of calls to a user, by time frame (contract §4). Kept and told; nothing acts on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from ringbridge.api.directory.resource_operations import Served
from ringbridge.api.directory.resource_operations import operations as resource_operations
from ringbridge.api.directory.resources import ResourceHandlers
from ringbridge.api.directory.synchronous import written_answer
from ringbridge.api.directory.users import USERS, admit_user
from ringbridge.api.document.operations import Access, Operation, Reply, Schema
from ringbridge.api.http.answers import Accepted, Answer, page_answer
from ringbridge.api.http.requests import Request
from ringbridge.api.parts import ApiParts
from ringbridge.calls.directory.ports import RecordQuery
from ringbridge.model.directory import AnswerRule, Key, Record
from ringbridge.model.errors import CallError, Fault, Refusal, invalid
from ringbridge.model.resources import ANSWER_RULE, change, make, view
from ringbridge.model.wire import json_type, shown

RULES = USERS + "/{user}/answerrules"
SERVED = Served(
    noun="answer rule",
    plural="answer rules",
    tag="Answer rules",
    collection=RULES,
    item=RULES + "/{timeframe}",
    given=("domain", "user"),
    create_title="CreateAnswerruleRequest",
    update_title="UpdateAnswerruleRequest",
    list_access=Access.USER,
    create_access=Access.USER,
    read_access=Access.USER,
    write_access=Access.USER,
)
MOST_RULES: Final = 1000
"""Of one user."""
DEFAULT_ORDER: Final = 99
TIME_FRAMES: Final = ("time-frames", "timeframes", "order")
"""Names of the list that `/reorder` takes, where the body is not the list itself."""
_FRAME_SCHEMA: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 64}
_FRAMES_SCHEMA: Final[Schema] = {
    "type": "array",
    "description": "Every time frame of the user's rules, each once, first what is tried first.",
    "items": _FRAME_SCHEMA,
    "maxItems": MOST_RULES,
}
_RULES_SCHEMA: Final[Schema] = _FRAMES_SCHEMA | {
    "items": {
        "anyOf": [
            {"type": "object", "required": ["time-frame"], "properties": {"time-frame": _FRAME_SCHEMA}},
            _FRAME_SCHEMA,
        ]
    }
}
"""The list itself may hold rules, too. Within an object they are taken, but not documented: generators of clients
cannot name an object that deep."""
REORDER_SCHEMA: Final[Schema] = {
    "title": "ReorderAnswerrulesRequest",
    "anyOf": [
        _RULES_SCHEMA,
        {"type": "object", "required": ["time-frames"], "properties": {"time-frames": _FRAMES_SCHEMA}},
    ],
}


class AnswerRuleRules:
    """Rules of the path's user."""

    resource = ANSWER_RULE

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def key(self, request: Request) -> Key:
        return (request.domain, request.user, request.params["timeframe"])

    def given(self, request: Request) -> Mapping[str, str]:
        return {"domain": request.domain, "user": request.user}

    def wanted(self, request: Request) -> RecordQuery:
        return RecordQuery(ANSWER_RULE.kind, domain=request.domain, parent=request.user)

    async def admit(self, request: Request) -> None:
        await admit_user(self._parts, request)

    def belongs(self, request: Request, record: Record) -> bool:
        return isinstance(record, AnswerRule) and record.user == request.user

    async def made(self, request: Request, values: Mapping[str, str]) -> tuple[Record, Mapping[str, str]]:
        if await self._parts.store.count_records(self.wanted(request)) >= MOST_RULES:
            message = f"a user has at most {MOST_RULES} answer rules; delete one"
            raise CallError(Refusal.CONFLICT, "too-many-rules", message)
        made = make(ANSWER_RULE, values)
        position = values.get("new-position")
        if position:
            made = change(ANSWER_RULE, made, {"order": str(await self._place(request, position))})
        return made, {}

    async def _place(self, request: Request, position: str) -> int:
        """Return the order of a rule that goes before or behind all others, which make room where there is none."""
        stored = await rules_of(self._parts, request)
        if not stored:
            return DEFAULT_ORDER
        if position == "bottom":
            return stored[-1].order + 1
        if stored[0].order == 0:
            await number(self._parts, [rule.key for rule in stored])
            return 0
        return stored[0].order - 1

    def changed(self, _: Request, record: Record, values: Mapping[str, str]) -> Record:
        return change(ANSWER_RULE, record, values)

    async def live(self, records: Sequence[Record]) -> list[dict[str, object]]:
        return [{} for _ in records]


async def rules_of(parts: ApiParts, request: Request) -> list[AnswerRule]:
    """Return the rules of the path's user in the order in which they are tried."""
    wanted = RecordQuery(ANSWER_RULE.kind, domain=request.domain, parent=request.user)
    found = await parts.store.record_page(wanted, limit=MOST_RULES)
    return sorted((one for one in found if isinstance(one, AnswerRule)), key=lambda rule: (rule.order, rule.key))


async def number(parts: ApiParts, keys: Sequence[Key]) -> int:
    """Number the rules of these keys from 1 on; return the sequence of the last write."""
    last = 0
    for place, key in enumerate(keys, start=1):
        values = {"order": str(place)}
        written = await parts.writes.update(ANSWER_RULE, key, partial(_changed, values=values))
        last = max(last, written.sequence)
    return last


def _changed(record: Record, *, values: Mapping[str, str]) -> Record:
    return change(ANSWER_RULE, record, values)


class OrderHandlers:
    """The order in which a user's rules are tried."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def page(self, request: Request) -> Answer:
        """List the rules, first what is tried first; a user has few, so they are put in order here."""
        await admit_user(self._parts, request)
        page = request.page()
        rules = await rules_of(self._parts, request)
        first = page.start - 1
        views = [view(ANSWER_RULE, rule, {}) for rule in rules[first : first + page.limit]]
        return page_answer(views, page=page, path=request.path, total=len(rules))

    async def reorder(self, request: Request) -> Answer:
        """Number the rules in the order of the body, which names each of them once."""
        await admit_user(self._parts, request)
        frames = _time_frames(await request.json_value(limit=self._parts.settings.body_limit))
        _check_complete(frames, [rule.time_frame for rule in await rules_of(self._parts, request)])
        last = await number(self._parts, [(request.domain, request.user, frame) for frame in frames])
        return await written_answer(self._parts, last)


def _time_frames(body: object) -> list[str]:
    """Return the time frames that a body lists: the list itself, as clients generated from the document send it."""
    listed = body
    if isinstance(body, dict):
        listed = next((body[name] for name in TIME_FRAMES if name in body), None)
    frames = [one.get("time-frame") if isinstance(one, dict) else one for one in _list(listed)]
    if not all(isinstance(one, str) for one in frames):
        allowed = 'time frames, or objects as {"time-frame": "*"}'
        raise invalid([Fault(TIME_FRAMES[0], "wrong-type", f"must be a list of {allowed}", allowed=allowed)])
    return [str(one) for one in frames]


def _list(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    found = None if value is None else json_type(value)
    raise invalid([Fault(TIME_FRAMES[0], "wrong-type", "must be a list of time frames", found=found)])


def _check_complete(frames: Sequence[str], stored: Sequence[str]) -> None:
    faults = [
        Fault(TIME_FRAMES[0], "unknown-time-frame", "no rule has this time frame", found=shown(frame))
        for frame in frames
        if frame not in stored
    ]
    missing = [frame for frame in stored if frame not in frames]
    faults += [Fault(TIME_FRAMES[0], "missing", f"must name {frame} too") for frame in missing]
    if len(set(frames)) != len(frames):
        faults.append(Fault(TIME_FRAMES[0], "twice", "names a time frame twice"))
    if faults:
        raise invalid(faults)


def operations(parts: ApiParts) -> list[Operation]:
    """Return the operations of answer rules."""
    rules, order = AnswerRuleRules(parts), OrderHandlers(parts)
    listed, *others = resource_operations(ResourceHandlers(parts, rules), rules, SERVED)
    return [
        replace(listed, handle=order.page),
        *others,
        Operation(
            name="reorder-answer-rules",
            method="PUT",
            path=RULES + "/reorder",
            access=Access.USER,
            handle=order.reorder,
            tag=SERVED.tag,
            summary="Put answer rules in order",
            body=REORDER_SCHEMA,
            body_example=[{"time-frame": "Holiday"}, {"time-frame": "Office hours"}, {"time-frame": "*"}],
            replies=(Reply(202, "Accepted, and durable.", Accepted),),
            refusals=(409, 503),
        ),
    ]
