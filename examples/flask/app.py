"""Posts and comments with Flask: who wrote a post is notified of each comment, and has a bell.

Run it as README.md one folder up says. `flask notify`, once a minute, sends what Bellwire did not get at
once.
"""

import os
import secrets
import sqlite3
import uuid
from contextlib import suppress
from pathlib import Path

import bell
import httpx
from flask import Flask, Response, abort, g, redirect, render_template, request, session

DATABASE = os.environ.get("DATABASE", Path(__file__).with_name("posts.sqlite3"))
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

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_hex()
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"


# --- notifications ---


@app.cli.command()
def notify() -> None:
    """Publish every comment that Bellwire does not have yet."""
    notify_of_comments()


def notify_of_comments() -> None:
    """Call it after the commit. What fails here is sent with the next comment, or by `flask notify`."""
    try:
        for comment in database().execute(TO_NOTIFY).fetchall():
            notify_of(comment)
    except bell.Unavailable as error:
        app.logger.warning("Bellwire: %s", error)


def notify_of(comment: sqlite3.Row) -> None:
    notification: dict[str, object] = {
        "user_id": comment["reader"],
        "event": "comment.created",
        "title": f"New comment on “{comment['title']}”",
        "message": comment["text"],
        "actor": {"id": comment["author"], "name": comment["author"]},
        "action_url": f"/#{comment['post']}",
    }
    try:
        put_user(comment["reader"])  # who may not have signed in since Bellwire was installed
        bell.publish(notification, key=f"comment-{comment['id']}")
    except httpx.HTTPStatusError as error:
        app.logger.exception("Bellwire refuses comment %s: %s", comment["id"], error.response.text)
    with database() as transaction:
        transaction.execute("UPDATE comments SET notified = 1 WHERE id = ?", [comment["id"]])


def put_user(name: str) -> None:
    """Repeating it costs little."""
    bell.put_user(name, name.title())


@app.get("/bell-token")
def bell_token() -> Response:
    """Who the bell is for is decided here, by the session, never by the page."""
    return Response(bell.token_for(signed_in()), mimetype="text/plain", headers={"Cache-Control": "no-store"})


# --- the application ---


@app.post("/sign-in")
def sign_in() -> object:
    """Stands for your own sign-in."""
    name = request.form["name"]
    if not (name.isascii() and name.isalpha()):
        abort(400)
    session["user"] = name
    with suppress(bell.Unavailable):
        put_user(name)
    return redirect("/", 303)


@app.post("/posts")
def post() -> object:
    with database() as transaction:
        new = [uuid.uuid4().hex, signed_in(), request.form["title"]]
        transaction.execute("INSERT INTO posts VALUES (?, ?, ?)", new)
    return redirect("/", 303)


@app.post("/posts/<post>/comments")
def comment(post: str) -> object:
    if not database().execute("SELECT 1 FROM posts WHERE id = ?", [post]).fetchone():
        abort(404)
    with database() as transaction:  # commits at its end
        transaction.execute(
            "INSERT INTO comments (id, post, author, text) VALUES (?, ?, ?, ?)",
            [uuid.uuid4().hex, post, signed_in(), request.form["text"]],
        )
    notify_of_comments()
    return redirect("/", 303)


@app.get("/")
def page() -> str:
    return render_template(
        "page.html",
        user=session.get("user"),
        bellwire=bell.URL,
        posts=database().execute("SELECT * FROM posts").fetchall(),
        comments=database().execute("SELECT * FROM comments").fetchall(),
    )


def signed_in() -> str:
    """The user of the session."""
    return str(session.get("user") or abort(401))


def database() -> sqlite3.Connection:
    """The connection of this request."""
    if "database" not in g:
        g.database = sqlite3.connect(DATABASE)
        g.database.row_factory = sqlite3.Row
        g.database.executescript(SCHEMA)
    connection: sqlite3.Connection = g.database
    return connection


@app.teardown_appcontext
def close(_: BaseException | None) -> None:
    if connection := g.pop("database", None):
        connection.close()
