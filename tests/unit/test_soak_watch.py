"""What is watched goes on being watched, whatever its servers do."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from workbench.soak.history import History
from workbench.soak.watch import Watch


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.AdminShutdownError("ended"),
        asyncpg.InterfaceError("closed"),
        asyncpg.InternalClientError("an answer that nobody asked for"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_session_that_is_ended_does_not_end_the_count(error: Exception) -> None:
    counted, answers = asyncio.Event(), iter([error])

    async def count() -> int:
        for first in answers:
            raise first
        counted.set()
        return 7

    nobody = cast("Any", None)
    watch = Watch(nobody, cast("Any", SimpleNamespace(count=count)), History(), nobody, int, 0)
    counting = asyncio.create_task(watch._counting())
    ended = asyncio.create_task(counted.wait())
    await asyncio.wait({counting, ended}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert not counting.done()
    counting.cancel()
