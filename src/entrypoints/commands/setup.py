"""`bellwire migrate`: creates the tables, partitions and topics."""

import argparse
import asyncio

from application.errors import Unavailable
from entrypoints.commands.output import Output, add_json, quiet
from entrypoints.container.parts.base import build
from entrypoints.container.setup import SetupContainer
from entrypoints.settings import Settings


def migrate(parser: argparse.ArgumentParser) -> None:
    """Bring the database and the topics up to date."""
    parser.add_argument("revision", nargs="?", default="head")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    settings = Settings.from_env()
    bring_up_to_date(settings, arguments.revision)
    topics = build(SetupContainer, settings).topics()
    out = Output.of(arguments)
    out.progress(f"the database is up to date; the topics {topics.name} and {topics.dead_letters} exist")
    out.result({"revision": arguments.revision, "topics": [topics.name, topics.dead_letters]})


def bring_up_to_date(settings: Settings, revision: str = "head") -> None:
    """Create what is missing in the database and in Kafka. Raises Unavailable."""
    owner = settings.as_owner()
    container = build(SetupContainer, owner)
    with quiet():
        container.migrate_database()(owner.postgres_url, revision)
        asyncio.run(_prepare(container, container.service_role()(settings.postgres_url, owner.postgres_url)))


async def _prepare(container: SetupContainer, service_role: str | None) -> None:
    try:
        if service_role is not None:
            await container.grant()(service_role)
        await container.maintenance().prepare()
        await container.ensure_topics()(container.settings().kafka_bootstrap, container.topics())
    except Unavailable as error:
        raise container.explained()(error) from error
    finally:
        await container.maintenance().close()
