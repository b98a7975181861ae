"""Replays a recorded conversation of a client program: a file of `conversations`, step by step.

A step sends one request (`send`, `headers`, `json`) and says which statuses the client takes for success (`expect`),
which fields it compares (`body`), which schema it reads the answer by (`shape`, or `every` for a list), what it keeps
for later (`remember`: name and JSON pointer), and what it polls for (`until`). `{name}` stands for what is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from tests.contract.shapes import faults_of
from tests.contract.wire import Json, until

FOLDER = Path(__file__).with_name("conversations")


@dataclass(slots=True)
class Replay:
    """One client's conversation with a server; `client` sends no token of its own."""

    client: httpx.Client
    known: dict[str, str]
    programs: Mapping[str, Callable[[dict[str, str]], None]] = field(default_factory=dict)
    """What a step with `program` runs, given what is known."""

    def play(self, name: str) -> None:
        """Play a conversation from start to end.

        Raises:
            AssertionError: the client would have given up here.
        """
        conversation = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        for step in conversation["steps"]:
            if "program" in step:
                self.programs[step["program"]](self.known)
            elif "until" in step:
                until(lambda asked=step: _holds(asked["until"], self._taken(asked)), what=f"{name}: {step}")  # type: ignore[misc] # mypy infers no default's type
                self._take(step)
            else:
                self._take(step)

    def _take(self, step: dict[str, Json]) -> None:
        """Send a step's request and read the answer as the client does."""
        body = self._taken(step)
        found = [fault for one in body for fault in faults_of(step["every"], one)] if "every" in step else []
        found += faults_of(step["shape"], body) if "shape" in step else []
        assert found == [], f"{step['send']}: {found}"
        wanted = self._filled(step.get("body", {}))
        assert _holds(wanted, body), f"{step['send']}: {body}, wanted {wanted}"
        for name, pointer in step.get("remember", {}).items():
            self.known[name] = str(_at(body, pointer))

    def _taken(self, step: dict[str, Json]) -> Json:
        """Return the body of an answer that the client takes for success."""
        method, path = self._filled(step["send"]).split(" ")
        answer = self.client.request(
            method, path, headers=self._filled(step.get("headers", {})), json=self._filled(step.get("json"))
        )
        assert answer.status_code in step["expect"], f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def _filled(self, value: Json) -> Json:
        """Return a value with what is known in the place of its names."""
        match value:
            case str():
                return re.sub(r"\{([a-z-]+)\}", lambda found: self.known[found[1]], value)
            case dict():
                return {name: self._filled(one) for name, one in value.items()}
            case list():
                return [self._filled(one) for one in value]
            case _:
                return value


def _holds(wanted: dict[str, Json], body: Json) -> bool:
    return all(body.get(name) == value for name, value in wanted.items())


def _at(body: Json, pointer: str) -> Json:
    """Return what a JSON pointer (RFC 6901) names."""
    for part in pointer.split("/")[1:]:
        body = body[int(part)] if isinstance(body, list) else body[part]
    return body
