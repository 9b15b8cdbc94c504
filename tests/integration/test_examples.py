"""The examples, each run against the product.

Those of web frameworks run with what their `requirements.txt` say, in a folder of their own: one of them
would otherwise change what the service itself runs with (Litestar uses pydantic wherever it is installed).
"""

import asyncio
import email
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.installed import installed
from tests.product import Api, Product, create_users, eventually
from workbench.embedded import LOOPBACK, free_port
from workbench.local_client import local_client
from workbench.processes import Process

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FRAMEWORKS = ("django", "fastapi", "flask")
CLIENT = ROOT / "clients" / "python" / "src"


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """Where the packages of the frameworks are."""
    wanted = [EXAMPLES / name / "requirements.txt" for name in FRAMEWORKS]

    def install(folder: Path) -> list[str]:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        files = [word for file in wanted for word in ("--requirement", str(file))]
        return [*pip, "--target", str(folder), "--constraint", str(ROOT / "constraints.txt"), *files]

    return installed(wanted, install)


@pytest.fixture
async def api(product: Product) -> Api:
    api, _ = await asyncio.gather(product.api(), product.consumer())
    return api


def variables(api: Api, **more: str) -> dict[str, str]:
    """What somebody has who typed `source .bellwire/env`, and nothing else of this process."""
    ours = {name: value for name, value in api.product._environment.items() if name.startswith("BELLWIRE_")}
    shell = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    python = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return {
        **shell,
        **python,
        **ours,
        "BELLWIRE_URL": api.url,
        "BELLWIRE_API_KEY": api.product.api_key,
        **more,
    }


# --- web frameworks ---


def serving(name: str, port: int) -> list[list[str]]:
    """The commands that prepare an application and run it."""
    folder = EXAMPLES / name
    manage = str(folder / "manage.py")
    return {
        "django": [
            [manage, "migrate", "--verbosity", "0"],
            [manage, "runserver", "--noreload", f"{LOOPBACK}:{port}"],
        ],
        "fastapi": [["-m", "uvicorn", "--app-dir", str(folder), "app:app", "--port", str(port)]],
        "flask": [["-m", "flask", "--app", str(folder / "app.py"), "run", "--port", str(port)]],
    }[name]


NOTIFYING = {
    "django": [str(EXAMPLES / "django" / "manage.py"), "notify"],
    "flask": ["-m", "flask", "--app", str(EXAMPLES / "flask" / "app.py"), "notify"],
}
"""The commands that send what Bellwire did not get at once. FastAPI's application does it by itself."""
COMMENTS = {"django": "posts_comment", "fastapi": "comments", "flask": "comments"}


@dataclass
class Application:
    """One of the examples, running."""

    name: str
    url: str
    process: Process
    environment: Mapping[str, str]

    async def run(self, words: Sequence[str]) -> None:
        """Run a command of its framework to its end."""
        process = await asyncio.create_subprocess_exec(sys.executable, *words, env=self.environment)
        assert await process.wait() == 0

    def forget_what_was_sent(self) -> None:
        """As if it had crashed whenever it was about to note that Bellwire has something."""
        with closing(sqlite3.connect(self.environment["DATABASE"])) as database, database:
            database.execute(f"UPDATE {COMMENTS[self.name]} SET notified = 0")

    @asynccontextmanager
    async def signed_in(self, name: str) -> AsyncIterator["Browser"]:
        async with local_client(base_url=self.url, follow_redirects=True, timeout=30) as http:
            browser = Browser(http)
            await browser.send("/sign-in", name=name)
            yield browser


@dataclass
class Browser:
    """Somebody who fills in the forms of a page."""

    http: httpx.AsyncClient

    async def send(self, action: str, **fields: str) -> str:
        """Fill in the form with this action; the page that follows."""
        page = (await self.http.get("/")).text
        assert f'action="{action}"' in page
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w+)">', page))
        answer = await self.http.post(action, data={**hidden, **fields})
        return answer.raise_for_status().text

    async def bell(self) -> tuple[str, str]:
        """What the bell on the page is given: whose it is, and the token from where it says."""
        page = (await self.http.get("/")).text
        bells = re.findall(r'<bellwire-inbox url="(.+?)" user="(.+?)" token-url="(.+?)">', page)
        assert len(bells) == 1, page
        answer = await self.http.get(bells[0][2])
        assert "no-store" in answer.headers["Cache-Control"]
        return bells[0][1], answer.raise_for_status().text


@pytest.fixture(params=FRAMEWORKS)
async def application(
    request: pytest.FixtureRequest, api: Api, frameworks: Path, tmp_path: Path
) -> AsyncIterator[Application]:
    name, port = request.param, free_port()
    paths = os.pathsep.join([str(frameworks), str(CLIENT)])
    environment = variables(api, PYTHONPATH=paths, DATABASE=str(tmp_path / "posts.sqlite3"))
    *before, command = serving(name, port)
    log = tmp_path / f"{name}.log"
    process = Process(name, [sys.executable, *command], log=log, environment=environment)
    running = Application(name, f"http://{LOOPBACK}:{port}", process, environment)
    for words in before:
        await running.run(words)
    process.start()
    try:
        await eventually(lambda: answers(running.url), f"{name} answers")
        yield running
    finally:
        await asyncio.to_thread(process.stop)


async def answers(url: str) -> bool:
    return await status(url) == 200


async def status(url: str) -> int:
    """0 if nobody answers."""
    try:
        async with local_client() as http:
            return (await http.get(url)).status_code
    except httpx.TransportError:
        return 0


async def test_a_comment_notifies_once_and_the_bell_is_for_who_is_signed_in(
    application: Application, api: Api
) -> None:
    assert await status(f"{application.url}/bell-token") == 401
    async with application.signed_in("ada") as ada, application.signed_in("bob") as bob:
        page = await ada.send("/posts", title="On bells")
        comments = re.findall(r'action="(/posts/\w+/comments)"', page)[0]
        await bob.send(comments, text="First")
        user, token = await ada.bell()
        assert await bob.bell() != (user, token)

        await eventually(lambda: has(api, user, token, ["First"]), "Ada has it")
        (item,) = await unread(api, user, token)
        application.forget_what_was_sent()
        await asyncio.to_thread(api.process.kill)
        assert "Second" in await bob.send(comments, text="Second")
        async with application.signed_in("cy") as cy:
            page = await cy.send("/posts", title="Nobody told Bellwire of me")
            to_cy = re.findall(r'action="(/posts/\w+/comments)"', page)[1]
            await bob.send(to_cy, text="Third")
            new_user, new_token = await cy.bell()
        await asyncio.to_thread(api.process.start)
        await api.process.healthy()
        await application.run(NOTIFYING.get(application.name, ["--version"]))
        await eventually(lambda: has(api, user, token, ["Second", "First"]), "Ada has both, once")
        await eventually(lambda: has(api, new_user, new_token, ["Third"]), "Cy has the other")

    assert (item["event"], item["title"]) == ("comment.created", "New comment on “On bells”")
    assert item["actors"][0]["name"] == "bob"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["exp"] - claims["iat"]) == (user, 600)


async def has(api: Api, user: str, token: str, messages: list[str], *, of: str = "message") -> bool:
    """Whether this is what is unread, newest first."""
    return [item[of] for item in await unread(api, user, token)] == messages


async def unread(api: Api, user: str, token: str) -> list[dict[str, Any]]:
    async with local_client(base_url=api.url, headers={"Authorization": f"Bearer {token}"}) as http:
        answer = await http.get(f"/v1/users/{user}/notifications")
        if answer.status_code == 404:  # nobody has told it of this user yet
            return []
        items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return items


# --- programs ---


async def test_an_event_that_is_sent_to_kafka_twice_is_one_notification(api: Api) -> None:
    async with api.client() as http:
        await create_users(http, ["ada"])
    for order, minute in [("1042", "00"), ("1042", "00"), ("1043", "01")]:
        event = ["ada", order, f"2026-11-29T10:{minute}:00Z"]
        process = await program("kafka/orders.py", *event, environment=variables(api))
        assert await process.wait() == 0

    token = api.product.token("ada")
    orders = ["/orders/1043", "/orders/1042"]
    await eventually(lambda: has(api, "ada", token, orders, of="action_url"), "each is there once")


async def test_what_stays_unread_is_mailed_and_never_twice(
    api: Api, product: Product, tmp_path: Path
) -> None:
    await product.prepare(frozenset({"publish", "users", "read"}))
    async with Mailbox.open() as mailbox, api.client() as http:
        for user in ("ada", "bob", "cy"):
            contact = {"name": user, "email": f"{user}@example.com"}
            (await http.put(f"/v1/users/{user}", json=contact)).raise_for_status()
        options = [
            "--minutes",
            "0.02",
            "--smtp",
            mailbox.address,
            "--state",
            str(tmp_path / "mailed.sqlite3"),
        ]

        async def publish(*messages: str, to: str = "ada") -> None:
            for message in messages:
                body = {"user_id": to, "event": "comment.created", "message": message}
                (await http.post("/v1/notifications", json=body)).raise_for_status()

        await publish("Read in time", to="bob")
        await eventually(lambda: read_all(api, "bob"), "Bob has read it")
        for group, latest in [("first", ["One", "Two"]), ("second", ["Three"])]:
            await publish(*latest)
            await publish(f"For {group}", to="cy")
            # The second one has read nothing of the topic, but knows what was mailed.
            words = [*options, "--group", group]
            mailer = await program("email_when_unread/mailer.py", *words, environment=variables(api))
            try:
                await eventually(lambda: mailbox.has_for("cy", group), "Cy has an e-mail")  # noqa: B023
                await eventually(lambda: mailbox.has_for("ada", latest[-1]), "Ada has one")  # noqa: B023
            finally:
                mailer.terminate()
                await mailer.wait()

    assert {mail["To"] for mail in mailbox.mails} == {"ada@example.com", "cy@example.com"}
    texts = "\n".join(str(mail.get_payload()) for mail in mailbox.mails if mail["To"] == "ada@example.com")
    assert sorted(texts.split()) == ["One", "Three", "Two"]


async def read_all(api: Api, user: str) -> bool:
    """Whether something came for the user, and is read now."""
    items = await unread(api, user, api.product.token(user))
    async with api.client(user) as http:
        for item in items:
            answer = await http.patch(f"/v1/users/{user}/notifications/{item['id']}/read")
            answer.raise_for_status()
    return bool(items)


async def program(name: str, *words: str, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLES / name), *words, env=environment)


@dataclass
class Mailbox:
    """A mail server that keeps what it is given."""

    address: str = ""
    mails: list[Message] = field(default_factory=list)

    def has_for(self, user: str, text: str) -> bool:
        return any(user in mail["To"] and text in str(mail.get_payload()) for mail in self.mails)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Mailbox"]:
        mailbox = cls()
        server = await asyncio.start_server(mailbox._serve, LOOPBACK, 0)
        async with server:
            mailbox.address = "{}:{}".format(*server.sockets[0].getsockname())
            yield mailbox

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        async for line in reader:
            command = line.strip().upper()
            if command == b"DATA":
                writer.write(b"354 go on\r\n")
                mail = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(mail.removesuffix(b".\r\n")))
            writer.write(b"221 bye\r\n" if command == b"QUIT" else b"250 fine\r\n")
            if command == b"QUIT":
                break
        writer.close()
