"""What the room display answers to over HTTP, and to whom.

Everything wrong is answered with a status, a code, a message and a hint, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voice_facilitator.display.access import Access, RateLimit, Role, host_allowed, origin_allowed
from voice_facilitator.display.hub import Hub
from voice_facilitator.display.key_table import Press
from voice_facilitator.session.events import Action, Seconds

PAGE = Path(__file__).parent / "page"
_MOST_BODY_BYTES = 2000
_MOST_STREAMS, _MOST_OWN_STREAMS = 64, 32
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Model = TypeVar("Model", bound=_Body)


class _Join(_Body):
    token: str = Field(max_length=200)


class _Do(_Body):
    do: str = Field(max_length=40)
    seen: str | None = Field(None, max_length=64)


class _ShareAt(_Body):
    address: str = Field(max_length=60)


class Choice(_Body):
    """What the setup page and the summary page ask for; one thing at a time."""

    protocol: str | None = Field(None, max_length=1000)
    minutes: int | None = Field(None, ge=1, le=600)
    microphone: str | None = Field(None, max_length=300)
    speaker: str | None = Field(None, max_length=300)
    timer_only: bool | None = None
    do: Literal["test-sentence", "look-again", "ready", "discard"] | None = None


@dataclass(frozen=True)
class Doors:
    """Where requests lead. The callbacks are called in the server's thread: hand over and return."""

    on_press: Callable[[Press], bool]  # False: there is no session to drive now
    on_choice: Callable[[Choice], bool]  # False: there is nothing to choose now
    summary: Callable[[], dict[str, Any] | None]  # of a session that is over
    invitation: Callable[[], dict[str, Any] | None]  # address, its QR code in rows, and the machine's others
    share_at: Callable[[str], Awaitable[bool]]  # False: this is no address of ours


@dataclass(frozen=True)
class Limits:
    """How often one client may do things."""

    press: RateLimit
    join: RateLimit
    any: RateLimit

    @classmethod
    def usual(cls) -> Limits:
        # More than ten presses a second are no finger; a token of 192 bits is not guessed at one a second.
        return cls(RateLimit(20, 10.0), RateLimit(20, 1.0), RateLimit(200, 50.0))


class Refusal(HTTPException):
    """A request that is not carried out."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **headers: str) -> None:
        super().__init__(status, message, {name.replace("_", "-"): value for name, value in headers.items()})
        self.body = {"error": {"code": code, "message": message, "hint": hint}}


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = getattr(error, "body", None)
    if body is None:
        body = {"error": {"code": f"http-{error.status_code}", "message": str(error.detail), "hint": ""}}
    return JSONResponse(body, error.status_code, error.headers)


class _Guard:
    """In front of everything: who is asked for, from where, how often; and the headers of each answer."""

    def __init__(
        self, app: ASGIApp, names: AbstractSet[str], port: int, limits: Limits, clock: Callable[[], Seconds]
    ) -> None:
        self._app, self._names, self._port = app, names, port
        self._limits, self._clock = limits, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] += [(n, v) for n, v in _HEADERS.items() if n not in given]
            await send(message)

        request = Request(scope)
        refusal = self._look_at(request)
        if refusal is not None:
            await _refused(request, refusal)(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)

    def _look_at(self, request: Request) -> Refusal | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not host_allowed(hosts[0], self._names, self._port):
            return Refusal(421, "wrong-host", "This is not the address of this page.", "Use the one shown.")
        if not origin_allowed(
            request.headers.get("origin"), request.headers.get("sec-fetch-site"), hosts[0]
        ) and not _opens_page(request):
            return Refusal(403, "wrong-origin", "Another site may neither read nor drive this page.")
        if not self._limits.any.allows(_client(request), self._clock()):
            return _too_often()
        return None


def _opens_page(request: Request) -> bool:
    """A link from elsewhere may open the page: it shows nothing without its key."""
    return (
        request.method == "GET"
        and request.url.path == "/"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("origin") is None
    )


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _too_often() -> Refusal:
    return Refusal(429, "too-often", "That was too often.", "Wait a second.", retry_after="1")


class _Pages:
    """The handlers."""

    def __init__(
        self, hub: Hub, access: Access, doors: Doors, limits: Limits, clock: Callable[[], Seconds]
    ) -> None:
        self._hub, self._access, self._doors = hub, access, doors
        self._limits, self._clock = limits, clock

    def routes(self) -> list[Route]:
        files = [Route("/", self.page)]
        files += [Route(f"/page/{path.name}", self.page) for path in sorted(PAGE.iterdir())]
        return [
            *files,
            Route("/words", self.words),
            Route("/events", self.events),
            Route("/invitation", self.invitation),
            Route("/share", self.share, methods=["POST"]),
            Route("/summary", self.summary),
            Route("/join", self.join, methods=["POST"]),
            Route("/do", self.do, methods=["POST"]),
            Route("/choose", self.choose, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        path = PAGE / (Path(request.url.path).name or "index.html")
        return FileResponse(path, media_type=_TYPES.get(path.suffix))

    async def words(self, request: Request) -> Response:
        del request
        return JSONResponse(self._hub.words)

    async def events(self, request: Request) -> Response:
        role = self._role(request)
        if self._full(role):
            raise Refusal(503, "too-many-pages", "Too many pages are open.", "Close some.", retry_after="5")
        own = {"role": role.value, "shared": self._access.invitation is not None}
        return StreamingResponse(self._hub.stream(own), media_type="text/event-stream")

    def _full(self, role: Role) -> bool:
        """The pages of this machine have their own places."""
        own = self._hub.viewers_that_are(Role.HOST.value)
        if role is Role.HOST:
            return own >= _MOST_OWN_STREAMS
        return self._hub.viewers - own >= _MOST_STREAMS

    async def invitation(self, request: Request) -> Response:
        if self._role(request) is not Role.HOST:
            raise _not_yours()
        found = self._doors.invitation()
        if found is None:
            raise Refusal(404, "not-shared", "This display is not shared.", "Start with --share.")
        return JSONResponse(found)

    async def share(self, request: Request) -> Response:
        if self._may_drive(request) is not Role.HOST:
            raise _not_yours()
        if not await self._doors.share_at((await _read(request, _ShareAt)).address):
            raise Refusal(409, "not-now", "This address is not there any more.")
        return JSONResponse({}, 202)

    async def summary(self, request: Request) -> Response:
        """For the page that asks, and no other: it tells how often the presenter was reminded."""
        if self._role(request) is not Role.HOST:
            raise _not_yours()
        found = self._doors.summary()
        if found is None:
            raise Refusal(409, "not-now", "There is no summary yet.", "It comes when the session is over.")
        return JSONResponse(found)

    async def join(self, request: Request) -> Response:
        if not self._limits.join.allows(_client(request), self._clock()):
            raise _too_often()
        joined = self._access.join((await _read(request, _Join)).token, _client(request))
        if joined is None:
            raise Refusal(
                401,
                "wrong-token",
                "This address has been used or is old.",
                "Use the one shown now.",
            )
        key, role = joined
        return JSONResponse({"key": key, "role": role.value})

    async def do(self, request: Request) -> Response:
        if not self._may_drive(request).may_drive:
            raise _not_yours()
        asked = await _read(request, _Do)
        try:
            press = Press(Action(asked.do), "display", asked.seen)
        except ValueError as error:
            raise Refusal(400, "unknown-action", "There is no such action.") from error
        if press.action is Action.PHASE or not self._doors.on_press(press):
            raise Refusal(409, "not-now", "That is not possible just now.")
        return JSONResponse({}, 202)

    async def choose(self, request: Request) -> Response:
        if self._may_drive(request) is not Role.HOST:
            raise _not_yours()
        if not self._doors.on_choice(await _read(request, Choice)):
            raise Refusal(409, "not-now", "There is nothing to choose just now.")
        return JSONResponse({}, 202)

    def _role(self, request: Request) -> Role:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        role = self._access.role_of(key.strip()) if kind.lower() == "bearer" else None
        if role is None:
            raise Refusal(
                401,
                "no-key",
                "This page needs the address that the program showed.",
                "Open that address.",
                www_authenticate="Bearer",
            )
        return role

    def _may_drive(self, request: Request) -> Role:
        role = self._role(request)
        if not self._limits.press.allows(_client(request), self._clock()):
            raise _too_often()
        return role


def _not_yours() -> Refusal:
    return Refusal(403, "view-only", "This page may look, not act.")


async def _read(request: Request, model: type[Model]) -> Model:
    """The request's body as `model`; a Refusal for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "not-json", "Only JSON is understood here.")
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BODY_BYTES:
                raise Refusal(413, "too-large", "That is too much at once.")
        return model.model_validate(json.loads(body))
    except ClientDisconnect as error:
        raise Refusal(400, "gone", "The page has gone.") from error
    except ValidationError as error:
        raise Refusal(400, "not-understood", "This was not understood.") from error
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "not-json", "This is not JSON.") from error


def application(
    hub: Hub,
    access: Access,
    doors: Doors,
    *,
    names: AbstractSet[str],
    port: int,
    limits: Limits,
    clock: Callable[[], Seconds],
) -> ASGIApp:
    """The whole of it. `names`: the host names and addresses we answer to."""
    app = Starlette(
        routes=_Pages(hub, access, doors, limits, clock).routes(),
        exception_handlers={HTTPException: _refused},
    )
    return _Guard(app, names, port, limits, clock)
