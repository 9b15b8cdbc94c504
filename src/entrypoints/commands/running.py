"""Shared by commands: checked settings, and a container that is closed at the end."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from typing import TypeVar

from application.audit import ActorKind, By
from entrypoints.container.parts.base import build
from entrypoints.container.parts.postgres import WithPostgres
from entrypoints.settings import Settings

C = TypeVar("C", bound=WithPostgres)
T = TypeVar("T")


def on_postgres(kind: type[C], work: Callable[[C], Awaitable[T]], *, as_owner: bool = False) -> T:
    """Run `work` with a container of this kind, then close its connections to PostgreSQL.

    `as_owner` is for work that needs the role that owns the tables.
    """

    async def working() -> T:
        settings = Settings.for_serving()
        container = build(kind, settings.as_owner() if as_owner else settings)
        try:
            return await work(container)
        finally:
            await container.maintenance().close()

    return asyncio.run(working())


def by_account() -> By:
    """The account that runs the command, for the audit trail."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in many containers
        name = str(os.getuid())
    return By(ActorKind.CLI, name)
