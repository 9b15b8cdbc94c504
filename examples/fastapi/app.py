"""Posts and comments with FastAPI: who wrote a post is notified of each comment, and has a bell.

Run it as README.md one folder up says.
"""

import asyncio
import logging
import os
import secrets
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import jwt
from fastapi import BackgroundTasks, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

from bellwire_client import Actor, Bellwire, BellwireError, Problem

BELLWIRE_URL = os.environ["BELLWIRE_URL"]
HERE = Path(__file__).parent
log = logging.getLogger(__name__)
RETRY_SECONDS = 5
SCHEMA = """
CREATE TABLE IF NOT EXISTS posts (id TEXT PRIMARY KEY, author TEXT NOT NULL, title TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS comments (
    id TEXT PRIMARY KEY, post TEXT NOT NULL REFERENCES posts, author TEXT NOT NULL, text TEXT NOT NULL,
    notified INTEGER NOT NULL DEFAULT 0 -- whether Bellwire has it
);
"""
TO_NOTIFY = """
SELECT comments.*, posts.author AS reader, posts.title FROM comments JOIN posts ON posts.id = comments.post
WHERE NOT notified ORDER BY comments.rowid
"""

bellwire = Bellwire(BELLWIRE_URL, api_key=os.environ["BELLWIRE_API_KEY"])
database = sqlite3.connect(os.environ.get("DATABASE", HERE / "posts.sqlite3"))
database.row_factory = sqlite3.Row
database.executescript(SCHEMA)
pages = Jinja2Templates(HERE / "templates")
commented = asyncio.Event()


# --- notifications ---


async def notify_of_comments() -> None:
    """Publish every comment that Bellwire does not have yet, also those from before a crash."""
    while True:
        commented.clear()
        try:
            for comment in database.execute(TO_NOTIFY).fetchall():
                await notify(comment)
        except BellwireError as error:
            log.warning("Bellwire: %s; trying again in %d s", error, RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await commented.wait()


async def notify(comment: sqlite3.Row) -> None:
    """The key makes a repetition harmless: the same comment is one notification. Raises BellwireError."""
    try:
        await put_user(comment["reader"])  # who may not have signed in since Bellwire was installed
        await bellwire.publish(
            comment["reader"],
            "comment.created",
            comment["text"],
            title=f"New comment on “{comment['title']}”",
            actor=Actor(id=comment["author"], name=comment["author"]),
            action_url=f"/#{comment['post']}",
            idempotency_key=f"comment-{comment['id']}",
        )
    except Problem as problem:
        if problem.status in {429, 503}:
            raise
        log.exception("Bellwire refuses comment %s", comment["id"])  # and always will
    with database:
        database.execute("UPDATE comments SET notified = 1 WHERE id = ?", [comment["id"]])


async def put_user(name: str) -> None:
    """Repeating it costs little. Raises BellwireError."""
    await bellwire.put_user(name, name.title())


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with bellwire:
        task = asyncio.create_task(notify_of_comments())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SECRET_KEY") or secrets.token_hex())


def signed_in(request: Request) -> str:
    """The user of the session."""
    if user := request.session.get("user"):
        return str(user)
    raise HTTPException(401, "Sign in first.")


User = Annotated[str, Depends(signed_in)]
Text = Annotated[str, Form(min_length=1, max_length=1000)]


@app.get("/bell-token")
async def bell_token(user: User) -> Response:
    """Who the bell is for is decided here, by the session, never by the page."""
    now = time.time()
    claims = {"sub": user, "aud": "bellwire", "iat": now, "exp": now + 600}
    token = jwt.encode(claims, os.environ["BELLWIRE_TOKEN_SECRET"], "HS256")
    return PlainTextResponse(token, headers={"Cache-Control": "no-store"})


# --- the application ---


@app.post("/sign-in")
async def sign_in(
    request: Request, tasks: BackgroundTasks, name: Annotated[str, Form(pattern="^[a-z]{1,20}$")]
) -> Response:
    """Stands for your own sign-in. Nobody waits for Bellwire to know the user."""
    tasks.add_task(put_user, name)
    request.session["user"] = name
    return home()


@app.post("/posts")
async def post(user: User, title: Text) -> Response:
    with database:
        database.execute("INSERT INTO posts VALUES (?, ?, ?)", [uuid.uuid4().hex, user, title])
    return home()


@app.post("/posts/{post}/comments")
async def comment(user: User, post: str, text: Text) -> Response:
    if not database.execute("SELECT 1 FROM posts WHERE id = ?", [post]).fetchone():
        raise HTTPException(404, "There is no such post.")
    with database:  # commits at its end
        database.execute(
            "INSERT INTO comments (id, post, author, text) VALUES (?, ?, ?, ?)",
            [uuid.uuid4().hex, post, user, text],
        )
    commented.set()
    return home()


@app.get("/")
async def page(request: Request) -> Response:
    context = {
        "user": request.session.get("user"),
        "bellwire": BELLWIRE_URL,
        "posts": database.execute("SELECT * FROM posts").fetchall(),
        "comments": database.execute("SELECT * FROM comments").fetchall(),
    }
    return pages.TemplateResponse(request, "page.html", context)


def home() -> Response:
    return RedirectResponse("/", 303)
