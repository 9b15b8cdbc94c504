"""`bellwire publish`, `listen`, `inbox`, `users` and `tail`, with the real product."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from tests.product import Api, Product, create_users, eventually

SECONDS = 60.0


@dataclass
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """What it printed as JSON, a document on each line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command that runs until it is interrupted."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self._out, self._err = process.stdout, process.stderr

    async def line(self, wanted: Callable[[str], bool]) -> str:
        """The next line like this; those before it are passed over."""
        async with asyncio.timeout(SECONDS):
            while text := (await self._out.readline()).decode():
                if wanted(text):
                    return text
        raise AssertionError((await self._err.read()).decode())

    async def frame(self, kind: str) -> Mapping[str, Any]:
        """The next JSON object of this type."""
        found: Mapping[str, Any] = json.loads(await self.line(lambda text: json.loads(text)["type"] == kind))
        return found

    async def complaint(self, part: str) -> None:
        """Wait until it says this on standard error."""
        async with asyncio.timeout(SECONDS):
            while text := (await self._err.readline()).decode():
                if part in text:
                    return
        raise AssertionError(f"it never said {part}")

    async def interrupt(self) -> Done:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        out, err = await self.process.communicate()
        return Done(self.process.returncode or 0, out.decode(), err.decode())


@dataclass
class Terminal:
    """Where somebody uses a service."""

    product: Product
    api: Api

    async def run(self, *words: str, said: str = "", **environment: str) -> Done:
        """Run a command to its end, and say something to it."""
        process = await self._start(*words, **environment)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(said.encode())
        return Done(process.returncode or 0, out.decode(), err.decode())

    @asynccontextmanager
    async def running(self, *words: str) -> AsyncIterator[Running]:
        process = await self._start(*words)
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def _start(self, *words: str, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bellwire",
            *words,
            env={
                **self.product._environment,
                "BELLWIRE_URL": self.api.url,
                "BELLWIRE_API_KEY": self.product.api_key,
                **environment,
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
async def terminal(product: Product) -> Terminal:
    """A service with a user."""
    api, _ = await asyncio.gather(product.api(), product.consumer())
    async with api.client() as client:
        await create_users(client, ["ada"])
    return Terminal(product, api)


async def test_what_is_published_is_heard_across_a_restart_of_the_service(terminal: Terminal) -> None:
    async with terminal.running("listen", "ada", "--json") as listening:
        await listening.frame("welcome")
        first = await terminal.run("publish", "ada", "--message", "one", "--wait")
        heard = await listening.frame("notifications")

        await asyncio.to_thread(terminal.api.process.kill)
        await listening.frame("disconnected")
        await asyncio.to_thread(terminal.api.process.start)
        await terminal.api.process.healthy()
        await terminal.run("publish", "ada", "--message", "two", "--severity", "critical")
        second = await listening.frame("notifications")
        read = await terminal.run("inbox", "ada", "--read-all")
        update = await listening.frame("update")
        ended = await listening.interrupt()

    assert (first.status, first.out.split()) == (0, [heard["items"][0]["id"], "pushed"])
    assert [heard["items"][0]["message"], second["items"][0]["message"]] == ["one", "two"]
    assert (read.out, update["unread_count"]) == ("2 changed\n", 0)
    assert ended.status == 130
    assert ended.err.endswith(f"bellwire listen ada --since {update['cursor']}\n")


async def test_listening_goes_on_where_it_ended(terminal: Terminal) -> None:
    async with terminal.running("listen", "ada") as listening:
        assert "0 unread" in await listening.line(lambda line: "connected" in line)
        cursor = (await listening.interrupt()).err.split()[-1]
    await terminal.run("publish", "ada", "--message", "missed", "--title", "Call", "--actor", "Bob")

    async with terminal.running("listen", "ada", "--since", cursor) as listening:
        line = await listening.line(lambda line: "missed" in line)

    assert "Call: Bob missed" in line
    assert "\x1b" not in line  # plain in a pipe


async def test_a_thousand_lines_are_published_once_however_often_they_are_sent(terminal: Terminal) -> None:
    text = "".join(
        json.dumps({"event": "build.done", "message": f"Build {number}"}) + "\n" for number in range(1_500)
    )
    command = ("publish", "ada", "--category", "builds", "--from", "-", "--idempotency-key", "k", "--json")

    once = await terminal.run(*command, said=text)
    again = await terminal.run(*command, said=text)
    changed = await terminal.run(*command, said=text.replace("Build 3", "Built 3"))

    assert (once.status, once.err, len(once.lines)) == (0, "", 1_500)
    assert again.lines == once.lines
    assert changed.status == 1

    async def counts() -> Mapping[str, Any]:
        shown: Mapping[str, Any] = (await terminal.run("users", "show", "ada", "--json")).lines[0]
        return shown

    async def stored() -> bool:
        return bool((await counts())["unread_in"] == {"builds": 1_500})

    await eventually(stored, "all are stored, once")
    listed = (await terminal.run("inbox", "ada", "--limit", "120", "--json")).lines[0]
    assert len(listed["items"]) == 120
    assert listed["items"][0]["id"] == once.lines[-1]["id"]


async def test_what_is_refused_is_named_and_the_rest_is_published(terminal: Terminal) -> None:
    done = await terminal.run(
        "publish", "--from", "-", said='{"user_id": "ada", "message": "m"}\n{"user_id": "eve"}\n'
    )

    assert (done.status, done.out) == (1, "1 published, 1 refused\n")
    assert done.err.startswith("bellwire: item 2 was refused: ")


async def test_an_inbox_is_listed_and_marked(terminal: Terminal) -> None:
    for message in ("one", "two"):
        await terminal.run("publish", "ada", "--message", message, "--event", f"{message}.x", "--wait")

    listed = await terminal.run("inbox", "ada")
    lines = [line.split() for line in listed.out.splitlines()]
    read = await terminal.run("inbox", "ada", "--read", lines[1][-1], "--json")
    unread = await terminal.run("inbox", "ada", "--status", "unread")
    filtered = await terminal.run("inbox", "ada", "--category", "one", "--json")

    assert [line[:2] + line[-3:-1] for line in lines] == [
        ["new", "now", "info", "two"],
        ["new", "now", "info", "one"],
    ]
    assert listed.err == "bellwire: 2 unread, 2 of them new: one 1, two 1\n"
    assert read.lines == [{"changed": 1}]
    assert [line.split()[-1] for line in unread.out.splitlines()] == [lines[0][-1]]
    assert [item["message"] for item in filtered.lines[0]["items"]] == ["one"]


async def test_what_flows_is_seen_with_its_rates_and_nobody_notices(terminal: Terminal) -> None:
    settings = terminal.product.settings
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await asyncio.gather(admin.start(), producer.start())
    try:
        # In one batch, of which the embedded broker shows a wrong end.
        await terminal.run("publish", "ada", "--from", "-", said='{"message": "before"}\n' * 20)
        groups = await admin.list_consumer_groups()
        async with terminal.running("tail", "--json") as tailing:
            await tailing.complaint("watching from now on")
            await terminal.run("publish", "ada", "--message", "m", "--event", "a.b")
            record = await tailing.frame("record")
            rates = await tailing.frame("rates")
            await producer.send_and_wait(settings.kafka_topic, b"nope", key=b"ada")
            both: dict[str, Any] = {}
            while both.keys() < {"record", "dead-letter"}:
                frame = json.loads(await tailing.line(lambda line: '"rates"' not in line))
                both[frame["type"]] = frame
            direct, letter = both["record"], both["dead-letter"]
            meanwhile = await admin.list_consumer_groups()
            ended = await tailing.interrupt()
    finally:
        await asyncio.gather(admin.close(), producer.stop())

    key = terminal.product.api_key.split("_")[2]
    assert (record["user"], record["event"], record["category"]) == ("ada", "a.b", "a")
    assert (record["kind"], record["source"]) == ("new", f"key:{key}")
    assert (rates["records"], rates["events"]) == (1, {"a.b": 1})
    assert rates["records_per_second"] > 0
    assert (direct["kind"], direct["error"], direct["source"]) == ("unreadable", "malformed", "kafka")
    assert (letter["code"], letter["user"]) == ("malformed", "ada")
    assert meanwhile == groups
    assert (ended.status, ended.lines[-1]["type"], ended.lines[-1]["records"]) == (130, "total", 2)


async def test_watching_ends_by_itself(terminal: Terminal) -> None:
    done = await terminal.run("tail", "--rates", "--for", "2s", "--user", "eve")

    assert done.status == 0
    assert all(line.split()[0] in {"rates", "total"} for line in done.out.splitlines())
    assert "\x1b" not in done.out


async def test_users_are_created_and_shown(terminal: Terminal) -> None:
    created = await terminal.run("users", "create", "bob", "--name", "Bob")
    again = await terminal.run("users", "create", "bob")
    shown = await terminal.run("users", "show", "bob")

    assert (created.status, created.out.split()[0]) == (0, "bob")
    assert (again.status, again.out) == (1, "")
    assert [line.split()[:2] for line in shown.out.splitlines()[:2]] == [["id", "bob"], ["name", "Bob"]]
    assert "unread_count  0" in shown.out


async def test_an_error_is_one_line_that_says_what_to_do(terminal: Terminal) -> None:
    nowhere = {"BELLWIRE_URL": "http://127.0.0.1:9"}
    weak = await terminal.run("keys", "create", "weak", "--scope", "users")

    said = {
        "nowhere": await terminal.run("inbox", "ada", **nowhere),
        "deaf": await terminal.run("listen", "ada", **nowhere),
        "nobody": await terminal.run("listen", "eve"),
        "keyless": await terminal.run("publish", "ada", "--message", "m", BELLWIRE_API_KEY=""),
        "weak": await terminal.run("publish", "ada", "--message", "m", BELLWIRE_API_KEY=weak.out.strip()),
        "wrong": await terminal.run("inbox", "ada", "--token", "wrong"),
        "cursor": await terminal.run("listen", "ada", "--since", "yesterday"),
        "kafka": await terminal.run("tail", BELLWIRE_KAFKA_BOOTSTRAP="127.0.0.1:9"),
    }

    assert {name: done.status for name, done in said.items()} == {
        **dict.fromkeys(said, 1),
        "keyless": 2,
    }
    assert {name: done.err.count("\n") for name, done in said.items()} == dict.fromkeys(said, 1)
    assert "make dev" in said["nowhere"].err
    assert "make dev" in said["deaf"].err
    assert "users create" in said["nobody"].err
    assert "BELLWIRE_API_KEY" in said["keyless"].err
    assert "--scope" in said["weak"].err
    assert "BELLWIRE_TOKEN" in said["wrong"].err
    assert "cursor" in said["cursor"].err
    assert "Kafka" in said["kafka"].err
