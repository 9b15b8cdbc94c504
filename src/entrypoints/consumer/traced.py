"""TracedWorker: a worker whose batches have spans."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from application.delivery import Stored
from application.errors import Unavailable
from application.records import Batch
from domain.identifiers import NotificationId, UserId
from entrypoints.consumer.worker import Worker, reasons_of


class BatchTraces(Protocol):
    """Makes the spans of batches."""

    def handling(self, batch: Batch) -> AbstractContextManager[None]:
        """Work on a batch, and begin tasks that do."""
        ...

    def end(self, batch: Batch, failures: Mapping[tuple[UserId, NotificationId], str]) -> None:
        """The batch of this task is done. `failures` are codes of what became dead letters."""
        ...

    def fail(self, reason: str) -> None:
        """The batch of this task was not stored."""
        ...


class TracedWorker(Worker):
    """Only where tracing is on."""

    def __init__(self, *parts: Any, traces: BatchTraces, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._traces = traces

    async def _process(self, batch: Batch) -> None:
        with self._traces.handling(batch):
            await super()._process(batch)

    def _put_back(self, batch: Batch, error: Unavailable) -> None:
        super()._put_back(batch, error)
        self._traces.fail(type(error).__name__)

    async def _finish(self, batch: Batch, stored: Stored, announcing: asyncio.Task[None]) -> None:
        try:
            await super()._finish(batch, stored, announcing)
        finally:
            self._traces.end(batch, {key: code for key, (code, _) in reasons_of(stored).items()})
