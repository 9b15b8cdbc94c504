"""The audit trail."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from application.audit import Entry, Recorded, Search


class AuditTrail(Protocol):
    """What was done to keys, users and processes. Entries are only ever added.

    The methods of other ports that take an entry write it in the transaction of what they do, with the time
    of the store's clock. This port is for what is no transaction of the store.
    """

    async def add(self, entry: Entry) -> None:
        """Write an entry in a transaction of its own."""
        ...

    async def page(self, search: Search, limit: int, before: UUID | None = None) -> Sequence[Recorded]:
        """The newest entries of a search, older than the entry `before`. A user is found by its id."""
        ...
