"""Reading the audit trail."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from application.audit import Recorded, Search
from application.ports import AuditTrail


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAudit:
    """The newest entries of a search, older than the entry `before`; and whether there are more."""

    audit: AuditTrail

    async def __call__(
        self, search: Search, limit: int, before: UUID | None = None
    ) -> tuple[Sequence[Recorded], bool]:
        found = await self.audit.page(search, limit + 1, before)
        return found[:limit], len(found) > limit
