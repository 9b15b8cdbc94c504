"""`bellwire prune`: deletes old notifications."""

import argparse

from application.feeds import Pruned
from entrypoints.commands.output import Output, add_json, status
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
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    out = Output.of(arguments)

    async def work(container: PruningContainer) -> list[str]:
        try:
            return await _prune(container, arguments.keep_months, out)
        finally:
            await container.redis_server().close()

    kept = on_postgres(PruningContainer, work, as_owner=True)
    for name in kept:
        status(f"{name} is in use or not empty; run this again")
    return 1 if kept else 0


async def _prune(container: PruningContainer, keep_months: int, out: Output) -> list[str]:
    """Prune, and print it. Returns the partitions that could not be dropped."""
    await container.redis_server().ping()
    total, kept, dropped = 0, list[str](), list[str]()
    async for done in container.prune()(keep_months):
        if isinstance(done, Pruned):
            total += done.notifications
            out.progress(f"{total} notifications deleted")
            # Fails if Redis is out of reach: no other process would announce these feeds later.
            await container.redis_announcer().heal()
        else:
            kept = list(done.kept)
            dropped += done.dropped
            for name in done.dropped:
                out.progress(f"{name} dropped")
    if old := await container.prune_audit()():
        out.progress(f"{old} entries of the audit trail deleted")
    if forgotten := await container.prune_withheld()():
        out.progress(f"{forgotten} withheld notifications forgotten")
    out.result(
        {"notifications": total, "dropped": dropped, "kept": kept, "audit": old, "withheld": forgotten}
    )
    return kept
