"""E-mails users what is still unread after some minutes, and nothing twice.

It reads the topic to learn who was notified, waits, and asks Bellwire what that user has not read by then.
All of it goes into one e-mail. Kafka keeps the position in the topic, which moves on once a record is dealt
with. A file keeps what was mailed, and is written before the e-mail is sent: a crash at the worst moment
loses an e-mail rather than repeating one.
"""

import argparse
import asyncio
import logging
import os
import smtplib
import sqlite3
import time
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer

TOPIC = os.environ.get("BELLWIRE_KAFKA_TOPIC", "bellwire.notifications")
log = logging.getLogger(__name__)

DAY = 86_400
"""In seconds. Nobody wants an e-mail about what is older."""


class Mailed:
    """Which notifications were mailed, or are about to be."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file)
        self._database.execute("CREATE TABLE IF NOT EXISTS mailed (id TEXT PRIMARY KEY)")

    def claim(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the notifications that nobody claimed before; afterwards they are claimed."""
        insert = "INSERT OR IGNORE INTO mailed VALUES (?)"
        with self._database:
            return [item for item in items if self._database.execute(insert, [item["id"]]).rowcount]


async def unread(http: httpx.AsyncClient, user: str, before: float) -> list[dict[str, Any]]:
    """What came in the day before a time (Unix seconds) and is not read. Raises httpx.HTTPError."""
    answer = await http.get(f"/v1/users/{user}/notifications", params={"status": "unread", "limit": 100})
    if answer.status_code == httpx.codes.NOT_FOUND:  # erased meanwhile
        return []
    items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return [item for item in items if before - DAY < sent_at(item["id"]) <= before]


def sent_at(identifier: str) -> float:
    """The time in a UUIDv7, in Unix seconds."""
    return int(identifier.replace("-", "")[:12], 16) / 1000


async def address(http: httpx.AsyncClient, user: str) -> str | None:
    """Where e-mail for the user goes. Raises httpx.HTTPError."""
    answer = await http.get(f"/v1/users/{user}")
    email: str | None = answer.raise_for_status().json().get("email")
    return email


def digest(to: str, sender: str, items: Sequence[dict[str, Any]]) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, to
    first = items[0].get("title") or items[0]["message"].splitlines()[0]
    mail["Subject"] = first if len(items) == 1 else f"{len(items)} unread notifications"
    mail.set_content("\n\n".join(f"{item.get('title') or ''}\n{item['message']}".strip() for item in items))
    return mail


async def remind(http: httpx.AsyncClient, mailed: Mailed, user: str, options: argparse.Namespace) -> None:
    """Mail the user what is due. Raises httpx.HTTPError: nothing was claimed."""
    due = await unread(http, user, time.time() - options.minutes * 60)
    to = await address(http, user) if due else None
    if to and (items := mailed.claim(due)):
        mail = digest(to, options.sender, items)
        try:
            await asyncio.to_thread(send, options.smtp, mail)
        except (OSError, smtplib.SMTPException):
            log.exception("the e-mail to %s is lost", user)


def send(server: str, mail: EmailMessage) -> None:
    host, _, port = server.partition(":")
    with smtplib.SMTP(host, int(port or 25), timeout=30) as smtp:
        smtp.send_message(mail)


async def run(options: argparse.Namespace) -> None:
    mailed, wait = Mailed(options.state), options.minutes * 60
    records = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=os.environ["BELLWIRE_KAFKA_BOOTSTRAP"],
        group_id=options.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=int(wait + DAY) * 1000,  # it waits between two records
    )
    http = httpx.AsyncClient(
        base_url=os.environ["BELLWIRE_URL"], headers={"X-API-Key": os.environ["BELLWIRE_API_KEY"]}
    )
    async with http, records:
        async for record in records:
            age = time.time() - record.timestamp / 1000
            await asyncio.sleep(max(0.0, wait - age))
            if record.key is not None and age < wait + DAY:
                await patiently(http, mailed, record.key.decode(), options)
            await records.commit()


async def patiently(http: httpx.AsyncClient, mailed: Mailed, user: str, options: argparse.Namespace) -> None:
    """Remind, however long Bellwire is away."""
    while True:
        try:
            return await remind(http, mailed, user, options)
        except httpx.HTTPError as error:
            log.warning("Bellwire: %s; trying again in 5 s", error)
            await asyncio.sleep(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long it may stay unread (%(default)s)")
    parser.add_argument("--smtp", default="127.0.0.1:25", help="the mail server (%(default)s)")
    parser.add_argument("--sender", default="notifications@example.com", help="(%(default)s)")
    parser.add_argument("--state", default="mailed.sqlite3", help="what was mailed (%(default)s)")
    parser.add_argument("--group", default="mailer", help="of consumers (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
