"""PostgresAlarms: alarms ring once, in the transaction that does their work.

An alarm is put, replaced and deleted only under the lock of its feed, and the feed is locked first. Marks
and everything else that locks a feed do the same, so nobody holds an alarm and waits for its feed:

- `_TAKE` locks feeds that have something due. It leaves out feeds that are locked, so it waits for nobody
  and a circle cannot close: two consumers share the work, and a feed that is being changed has its turn in
  the next round. Those left out do not count towards the limit, so they do not hold up the others.
- `_DELETE` is a statement of its own. Its snapshot is newer than the locks, so it sees an alarm that was
  put off again or rang elsewhere between the snapshot of `_TAKE` and its locks, and leaves it.
- The work is done and committed with the deletion. Whoever dies before the commit has done nothing; after
  it, nothing is left to do.

What is due is decided by the server's clock, by `now()`: the time at which the transaction began, which can
be compared with an index.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.postgres.engine import driver, driver_transaction
from adapters.postgres.errors import retried
from adapters.postgres.mark import mark_locked
from application.feeds import MarkRequest, Rung
from domain.alarm import AlarmKind
from domain.feed import FeedChange
from domain.states import Mark

_LATE = "SELECT now() - min(due_at) FROM alarms WHERE kind = $1 AND due_at <= now()"
_TAKE = """
SELECT alarms.user_id, alarms.id FROM alarms JOIN feeds USING (user_id)
WHERE kind = $1 AND due_at <= now() ORDER BY due_at LIMIT $2
FOR NO KEY UPDATE OF feeds SKIP LOCKED
"""
_DELETE = """
DELETE FROM alarms USING unnest($2::text[], $3::uuid[]) AS taken (user_id, id)
WHERE alarms.user_id = taken.user_id AND alarms.id = taken.id AND kind = $1 AND due_at <= now()
RETURNING alarms.user_id, alarms.id, now() AS at
"""


class PostgresAlarms:
    """Alarms in PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @retried
    async def ring(self, kind: AlarmKind, limit: int) -> Rung:
        async with driver(self._engine) as connection:
            late: timedelta | None = await connection.fetchval(_LATE, kind)
        if late is None:
            return Rung(timedelta(), 0, ())
        async with driver_transaction(self._engine) as connection:
            taken = await connection.fetch(_TAKE, kind, limit)
            users, ids = [row["user_id"] for row in taken], [row["id"] for row in taken]
            due = await connection.fetch(_DELETE, kind, users, ids)
            return Rung(late, len(due), await _WORK[kind](connection, due) if due else ())


async def _wake(connection: Any, due: Sequence[Any]) -> Sequence[FeedChange]:
    at: datetime = due[0]["at"]
    by_user = groupby(sorted(due, key=itemgetter("user_id", "id")), key=itemgetter("user_id"))
    requests = [MarkRequest(user, [row["id"] for row in mine], at) for user, mine in by_user]
    woken = await mark_locked(connection, Mark.WOKEN, requests)
    return [marked for marked in woken.values() if marked.changed]


_WORK: Mapping[AlarmKind, Any] = {AlarmKind.WAKE: _wake}
