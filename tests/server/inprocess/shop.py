"""A sample app: a shop's assistant. Cookie login, retrieval with citations, moderation, a prompt by
user, billing in its own database, reminders that the server sends. server/EMBED.md explains it.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from anthropic import AsyncAnthropic
from fastapi import Cookie, FastAPI, HTTPException, Response
from starlette.requests import HTTPConnection

from turnwire_protocol import Code
from turnwire_server import (
    Document,
    Hooks,
    MessageContext,
    Rejected,
    ToolContext,
    TurnContext,
    TurnEnd,
    TurnSetup,
    Turnwire,
    tool,
)

TABLES = """
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, user TEXT);
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, language TEXT, credit INTEGER);
CREATE TABLE IF NOT EXISTS articles (title TEXT, text TEXT);
CREATE TABLE IF NOT EXISTS bills (turn TEXT PRIMARY KEY, user TEXT, tokens INTEGER);
CREATE TABLE IF NOT EXISTS reminders (
    id INTEGER PRIMARY KEY, user TEXT, conversation TEXT, text TEXT, is_sent INTEGER DEFAULT 0);
"""


def create_shop(folder: Path, client: AsyncAnthropic) -> FastAPI:
    """The app, with all it keeps in that folder."""
    db = sqlite3.connect(folder / "shop.db", check_same_thread=False, isolation_level=None)
    db.executescript(TABLES)

    def user_of(token: str | None) -> str | None:
        row: tuple[str] | None = db.execute(
            "SELECT user FROM sessions WHERE token = ?", (token,)
        ).fetchone()
        return None if row is None else row[0]

    def authenticate(connection: HTTPConnection) -> str | None:
        return user_of(connection.cookies.get("session"))

    async def admit(context: MessageContext) -> None:
        if "forbidden" in str(context.message):
            raise Rejected(Code.PERMISSION_DENIED, "We do not talk about that here.")
        query = "SELECT credit - (SELECT coalesce(sum(tokens), 0) FROM bills WHERE user = name)"
        (left,) = db.execute(f"{query} FROM users WHERE name = ?", (context.principal,)).fetchone()
        if left <= 0:
            raise Rejected(Code.TOO_MANY, "Your credit is used up.", retryable=False)

    async def before_turn(context: TurnContext) -> TurnSetup:
        query = "SELECT language FROM users WHERE name = ?"
        (language,) = db.execute(query, (context.principal,)).fetchone()
        found = db.execute(
            "SELECT title, text FROM articles WHERE instr(lower(?), lower(title)) LIMIT 3",
            (str(context.message),),
        )
        return TurnSetup(
            system=f"You help customers of a shop. Answer in {language}.",
            content=[Document(title=title, text=text) for title, text in found],
        )

    async def after_turn(end: TurnEnd) -> None:
        tokens = end.usage.input_tokens + end.usage.output_tokens
        db.execute("INSERT INTO bills VALUES (?, ?, ?)", (end.turn, end.principal, tokens))

    @tool
    async def my_credit(context: ToolContext) -> int:
        """What the customer may still use."""
        query = "SELECT credit FROM users WHERE name = ?"
        credit: int = context.state.db.execute(query, (context.principal,)).fetchone()[0]
        return credit

    turnwire = Turnwire(
        client=client,
        authenticate=authenticate,
        tools=[my_credit],
        hooks=Hooks(admit=admit, before_turn=before_turn, after_turn=after_turn),
        db=str(folder / "chat.db"),
    )

    async def remind(id: int, user: str, conversation: str, text: str) -> None:
        # Its key makes it one message, though the process may die before it is noted as sent.
        chat = turnwire.conversation(user, conversation)
        await chat.send(text, key=f"reminder-{id}", if_busy="queue")
        db.execute("UPDATE reminders SET is_sent = 1 WHERE id = ?", (id,))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.db = db
        await turnwire.start()
        async with asyncio.TaskGroup() as group:
            query = "SELECT id, user, conversation, text FROM reminders WHERE NOT is_sent"
            for row in db.execute(query).fetchall():
                group.create_task(remind(*row))
            yield
        await turnwire.close()
        db.close()

    app = FastAPI(lifespan=lifespan)
    app.include_router(turnwire.router, prefix="/ai")

    @app.post("/login")
    async def login(user: str, response: Response) -> None:
        token = secrets.token_urlsafe()
        db.execute("INSERT OR IGNORE INTO users VALUES (?, 'English', 10000)", (user,))
        db.execute("INSERT INTO sessions VALUES (?, ?)", (token, user))
        response.set_cookie("session", token, httponly=True, samesite="lax")

    @app.post("/reminders")
    async def add_reminder(
        conversation: str, text: str, session: Annotated[str | None, Cookie()] = None
    ) -> int | None:
        if (user := user_of(session)) is None:
            raise HTTPException(401)
        statement = "INSERT INTO reminders (user, conversation, text) VALUES (?, ?, ?)"
        return db.execute(statement, (user, conversation, text)).lastrowid

    return app
