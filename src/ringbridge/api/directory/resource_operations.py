"""The operations of a directory resource, the same for all: list, count, create, read, update, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ringbridge.api.directory.resource_schemas import create_schema, example, read_schema, update_schema
from ringbridge.api.directory.resources import ResourceHandlers, Rules
from ringbridge.api.document.operations import Access, Operation, QueryField, Reply, Schema
from ringbridge.api.document.schemas import PAGE_QUERY, YES_NO
from ringbridge.api.http.answers import Accepted, Count
from ringbridge.model.access import Scope
from ringbridge.model.resources import Resource, searched

IF_MATCH: Final = QueryField(
    "If-Match", "Entity tags: write only if the resource still has one of them (412 if not).", {"type": "string"}
)
CASCADE: Final = QueryField("cascade", "`yes`: delete all that uses it too.", YES_NO | {"default": "no"})
CONFLICTS: Final = (409, 412, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Under which paths and names a resource is served, and to whom."""

    noun: str
    plural: str
    tag: str
    collection: str
    item: str
    given: tuple[str, ...]
    """The fields that the path of the collection decides."""
    create_title: str
    update_title: str
    create_note: str = ""
    list_access: Access = Access.DOMAIN
    create_access: Access = Access.DOMAIN
    read_access: Access = Access.DOMAIN
    write_access: Access = Access.DOMAIN
    delete_at_least: Scope | None = None
    """The least scope that may delete it."""


def _search_query(resource: Resource) -> tuple[QueryField, ...]:
    return tuple(
        QueryField(
            field.name,
            f"Only those with this `{field.name}`, however it is capitalised; with `*` at the end, that begin so.",
            {"type": "string", "maxLength": field.max_length},
        )
        for field in searched(resource)
    )


def _many(rules: Rules, served: Served) -> Reply:
    schema: Schema = {"type": "array", "items": read_schema(rules.resource)}
    return Reply(200, f"One page of {served.plural}.", schema, ("Link", "X-Total-Count"))


def list_operations(handlers: ResourceHandlers, rules: Rules, served: Served) -> list[Operation]:
    """Return the operations that list and count a resource."""
    return [
        Operation(
            name=f"list-{served.plural.replace(' ', '-')}",
            method="GET",
            path=served.collection,
            access=served.list_access,
            handle=handlers.page,
            summary=f"List {served.plural}",
            query=(*PAGE_QUERY, *_search_query(rules.resource)),
            replies=(_many(rules, served),),
            tag=served.tag,
        ),
        Operation(
            name=f"count-{served.plural.replace(' ', '-')}",
            method="GET",
            path=served.collection + "/count",
            access=served.list_access,
            handle=handlers.count,
            summary=f"Count {served.plural}",
            query=_search_query(rules.resource),
            replies=(Reply(200, "How many.", Count),),
            tag=served.tag,
        ),
    ]


def create_operation(handlers: ResourceHandlers, rules: Rules, served: Served) -> Operation:
    """Return the operation that creates a resource."""
    body_example = example(rules.resource, given=served.given)
    told = ("ETag", "X-Ringbridge-Ignored")
    return Operation(
        name=f"create-{served.noun.replace(' ', '-')}",
        method="POST",
        path=served.collection,
        access=served.create_access,
        handle=handlers.create,
        summary=f"Create a {served.noun}",
        description=served.create_note,
        body=create_schema(rules.resource, served.create_title, given=served.given),
        body_example=body_example,
        replies=(
            Reply(200, "With `synchronous: yes`: the resource.", read_schema(rules.resource), told),
            Reply(202, "Accepted, and durable.", Accepted, told),
        ),
        refusals=(404, 409, 503),
        tag=served.tag,
    )


def operations(handlers: ResourceHandlers, rules: Rules, served: Served) -> list[Operation]:
    """Return the seven operations of a resource."""
    resource, noun = rules.resource, served.noun
    name = noun.replace(" ", "-")
    body_example = example(resource, given=served.given)
    stored = Reply(202, "Accepted, and durable.", Accepted, ("ETag", "X-Ringbridge-Ignored"))
    return [
        *list_operations(handlers, rules, served),
        create_operation(handlers, rules, served),
        Operation(
            name=f"read-{name}",
            method="GET",
            path=served.item,
            access=served.read_access,
            handle=handlers.read,
            summary=f"Read a {noun}",
            replies=(Reply(200, f"The {noun}.", read_schema(resource), ("ETag",)),),
            tag=served.tag,
        ),
        Operation(
            name=f"update-{name}",
            method="PUT",
            path=served.item,
            access=served.write_access,
            handle=handlers.update,
            summary=f"Change a {noun}",
            description="Changes the fields that it names and leaves the rest.",
            headers=(IF_MATCH,),
            body=update_schema(resource, served.update_title),
            body_example=dict(list(body_example.items())[-1:]),
            replies=(stored,),
            refusals=CONFLICTS,
            tag=served.tag,
        ),
        Operation(
            name=f"delete-{name}",
            method="DELETE",
            path=served.item,
            access=served.write_access,
            handle=handlers.delete,
            summary=f"Delete a {noun}",
            description="What others use is refused with 409 that names them; calls that are up go on.",
            query=(CASCADE,),
            headers=(IF_MATCH,),
            replies=(Reply(202, "Accepted, and durable.", Accepted),),
            refusals=CONFLICTS,
            at_least=served.delete_at_least,
            tag=served.tag,
        ),
    ]
