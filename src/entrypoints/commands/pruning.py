"""`bellwire prune`: deletes old notifications."""

import argparse
import sys

from application.feeds import Pruned
from entrypoints.commands.running import on_postgres
from entrypoints.container.pruning import PruningContainer


def prune(parser: argparse.ArgumentParser) -> None:
    """Delete old notifications, and print the progress."""
    parser.add_argument(
        "--keep-months",
        type=int,
        required=True,
        metavar="N",
        help="keep this month and the N before it; must be longer than Kafka keeps records",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    async def work(container: PruningContainer) -> list[str]:
        try:
            return await _prune(container, arguments.keep_months)
        finally:
            await container.redis_server().close()

    kept = on_postgres(PruningContainer, work, as_owner=True)
    for name in kept:
        print(f"bellwire: {name} is in use or not empty; run this again", file=sys.stderr)
    return 1 if kept else 0


async def _prune(container: PruningContainer, keep_months: int) -> list[str]:
    """Prune. Returns the partitions that could not be dropped."""
    await container.redis_server().ping()
    total, kept = 0, []
    async for done in container.prune()(keep_months):
        if isinstance(done, Pruned):
            total += done.notifications
            print(f"{total} notifications deleted", flush=True)
            # Fails if Redis is out of reach: no other process would announce these feeds later.
            await container.redis_announcer().heal()
        else:
            kept = list(done.kept)
            for name in done.dropped:
                print(f"{name} dropped", flush=True)
    if old := await container.prune_audit()():
        print(f"{old} entries of the audit trail deleted", flush=True)
    if forgotten := await container.prune_withheld()():
        print(f"{forgotten} withheld notifications forgotten", flush=True)
    return kept
