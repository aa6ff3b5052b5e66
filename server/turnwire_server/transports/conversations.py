"""Conversations as resources over HTTP: list, read, export, rename, delete."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import to_json

from turnwire_protocol import MAX_SEQ, Code, Event, FoldedConversation, Retract, span_of
from turnwire_server.transports.answers import Conversations, Exported, FoldedForm, json_answer
from turnwire_server.transports.endpoints import body_of, described, per_service
from turnwire_server.transports.export import to_markdown
from turnwire_server.transports.http import Responses, principal_of, refusals
from turnwire_server.transports.service import service_of

__all__ = ["conversations_routes"]

_LIST: Responses = {
    **refusals(Code.BAD_COMMAND),
    200: {"content": json_answer(Conversations)},
}
_OF_ONE = refusals(Code.UNKNOWN_CONVERSATION)
_READ: Responses = {
    **refusals(Code.BAD_COMMAND, Code.UNKNOWN_CONVERSATION, Code.UNKNOWN_TURN),
    200: {"content": json_answer(FoldedForm)},
}
_EXPORT: Responses = {
    **refusals(Code.BAD_COMMAND, Code.UNKNOWN_CONVERSATION),
    200: {"content": {"text/markdown": {"schema": {"type": "string"}}, **json_answer(Exported)}},
}
_A_FILE: Responses = {
    **refusals(
        Code.BAD_COMMAND,
        Code.UNKNOWN_CONVERSATION,
        Code.NOT_FOUND,
        Code.TOO_LARGE,
        Code.NETWORK_ERROR,
    ),
    200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
}
_RENAME = refusals(Code.BAD_COMMAND, Code.UNKNOWN_CONVERSATION, Code.TOO_LARGE, Code.TIMEOUT)


_Count = Annotated[int, Field(ge=1, le=MAX_SEQ)]
_Name = Annotated[str, Field(min_length=1, max_length=128)]


class TitleBody(BaseModel):
    """A new title."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = Field(min_length=1, max_length=200)


def _make(router: APIRouter) -> None:
    @router.get(
        "/conversations",
        responses=_LIST,
        response_model=None,
    )
    async def list_conversations(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[str | SkipJsonSchema[None], Query(max_length=256)] = None,
        q: Annotated[str | SkipJsonSchema[None], Query(min_length=1, max_length=200)] = None,
    ) -> dict[str, Any]:
        """The conversations, newest first; `next` is the `before` of the next page. With `q` those
        whose title contains it."""
        heads = await service_of(request).hub.list_heads(
            principal_of(request), limit=limit + 1, before=before, query=q
        )
        page = heads[:limit]
        answer: dict[str, Any] = {
            "conversations": [
                {
                    "conversation": head.conversation,
                    "title": head.title,
                    "seq": head.seq,
                    "created_at": head.created_at,
                    "updated_at": head.updated_at,
                }
                for head in page
            ]
        }
        if len(heads) > limit:
            answer["next"] = page[-1].position
        return answer

    async def folded(request: Request, conversation: str) -> tuple[str, FoldedConversation]:
        follower, head = await service_of(request).hub.follow(
            principal_of(request), conversation, after=0, epoch=None, wake=_nobody
        )
        folded = FoldedConversation()
        try:
            await follower.tell(folded.apply, head=head)
        finally:
            follower.close()
        return follower.epoch, folded

    @router.get(
        "/conversations/{conversation}",
        responses=_READ,
        response_model=None,
    )
    async def read(
        request: Request,
        conversation: str,
        last: Annotated[_Count | SkipJsonSchema[None], Query()] = None,
        before: Annotated[_Name | SkipJsonSchema[None], Query()] = None,
        replaced: Annotated[bool, Query()] = False,
    ) -> dict[str, Any]:
        """The folded conversation, as it is now; with `last` only the last so many of its turns,
        and with `before` those before that turn. `next` is the `before` of the older ones. With
        `replaced`, also the void turns in whose place turns were sent."""
        principal = principal_of(request)
        head = await service_of(request).hub.head(principal, conversation)
        page, follower = await service_of(request).hub.page(
            principal, conversation, last=last, before=before, with_replaced=replaced
        )
        turns, now = set(page.turns), FoldedConversation()
        voids, void = {turn for old in page.replaced.values() for turn in old}, FoldedConversation()

        def apply(event: Event) -> None:
            # Behind the head a turn may be void that is not here.
            is_of_then = event.seq - span_of(event) < page.head
            if not is_of_then or isinstance(event, Retract):
                return
            if event.turn in turns:
                now.apply(event)
            elif event.turn in voids:
                void.apply(event)

        try:
            await follower.tell(apply, head=page.upto)
        finally:
            follower.close()
        named: dict[str, Any] = {
            "conversation": conversation,
            "title": head.title,
            "epoch": follower.epoch,
        }
        if page.next is not None:
            named["next"] = page.next
        if replaced:
            named["replaced"] = {
                turn: [void.turns[each].to_dict() for each in old]
                for turn, old in page.replaced.items()
            }
        return {**named, **now.to_dict(), "seq": max(page.head, now.seq)}

    @router.get(
        "/conversations/{conversation}/export",
        responses=_EXPORT,
        response_class=Response,
        response_model=None,
    )
    async def export(
        request: Request,
        conversation: str,
        format: Annotated[Literal["markdown", "json"], Query()] = "markdown",
    ) -> Response:
        """The conversation as a file to keep."""
        head = await service_of(request).hub.head(principal_of(request), conversation)
        _, now = await folded(request, conversation)
        if format == "json":
            document = {"conversation": conversation, "title": head.title, **now.to_dict()}
            return _file(to_json(document, indent=2), "application/json", f"{conversation}.json")
        markdown = to_markdown(head.title, now).encode()
        return _file(markdown, "text/markdown; charset=utf-8", f"{conversation}.md")

    @router.get(
        "/conversations/{conversation}/files/{file}",
        responses=_A_FILE,
        response_class=Response,
        response_model=None,
    )
    async def read_file(
        request: Request, conversation: str, file: Annotated[str, Path(max_length=256)]
    ) -> Response:
        """A file that a tool of the provider made there; `tool_result` names it."""
        found = await service_of(request).hub.open_file(principal_of(request), conversation, file)
        is_plain = re.fullmatch(r"[\w.+-]+/[\w.+-]+", found.media_type, re.ASCII)
        media_type = found.media_type if is_plain else "application/octet-stream"
        name = quote(found.name.encode(errors="replace")[:255], safe="")
        headers = {
            "Cache-Control": "private, no-store",
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            # Foreign bytes: opened as a page of their own, they may run and load nothing.
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
        }
        return StreamingResponse(found.parts, media_type=media_type, headers=headers)

    @router.patch(
        "/conversations/{conversation}",
        status_code=204,
        responses=_RENAME,
        openapi_extra=described(TitleBody),
    )
    async def rename(
        request: Request,
        conversation: str,
        body: Annotated[TitleBody, body_of(TitleBody)],
    ) -> Response:
        """Give the conversation another title."""
        await service_of(request).hub.rename(principal_of(request), conversation, body.title)
        return Response(status_code=204)

    @router.delete("/conversations/{conversation}", status_code=204, responses=_OF_ONE)
    async def delete(request: Request, conversation: str) -> Response:
        """Stop what runs, and forget the conversation."""
        await service_of(request).hub.delete(principal_of(request), conversation)
        return Response(status_code=204)


conversations_routes = per_service(_make)
"""The endpoints below `/v1/conversations` that only look or tidy up."""


def _nobody() -> None:
    """The waker of a follower that is read right away."""


def _file(content: bytes, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
