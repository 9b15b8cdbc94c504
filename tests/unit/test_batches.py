"""How long callers wait for the outcomes of their records."""

import asyncio
import gc
from weakref import ref

from adapters.kafka.batches import Deadlines, Outcomes


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_waits_is_ended_at_the_deadline_with_those_that_began_to_wait_with_it() -> None:
    deadlines, (one, another, settled) = Deadlines(0.1), [Outcomes(1) for _ in range(3)]
    waiting = [asyncio.create_task(deadlines.completed(each)) for each in (one, another, settled)]

    settled.settle(0, accepted=True)
    await asyncio.gather(*waiting)

    assert [each.unknown for each in (one, another, settled)] == [1, 1, 0]


async def test_a_deadline_keeps_nothing_of_who_no_longer_waits() -> None:
    deadlines, outcomes = Deadlines(60.0), Outcomes(1)
    waiting = asyncio.create_task(deadlines.completed(outcomes))
    await settle()
    outcomes.settle(0, accepted=True)
    await waiting

    kept = ref(outcomes.complete)
    del outcomes, waiting
    gc.collect()

    assert kept() is None
