"""`bellwire reset-feeds`: what has to follow a restored backup."""

import argparse

from entrypoints.commands.account import by_account
from entrypoints.commands.output import Output, add_json, confirmed, status
from entrypoints.commands.running import on_postgres
from entrypoints.container.moving import RestoringContainer


def reset_feeds(parser: argparse.ArgumentParser) -> None:
    """Give every feed a new epoch, and drop the index."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.yes and not confirmed("Have every client of this installation reload?"):
        status("nothing was reset; confirm with --yes")
        return 1
    out = Output.of(arguments)

    async def work(container: RestoringContainer) -> None:
        try:
            await _reset(container, out)
        finally:
            await container.redis_server().close()

    on_postgres(RestoringContainer, work)
    return 0


async def _reset(container: RestoringContainer, out: Output) -> None:
    await container.redis_server().ping()
    total = 0
    async for count in container.reset_feeds()(by_account()):
        total += count
        out.progress(f"{total} feeds have a new epoch")
    # Behind it: until then the index may answer with what it holds of the earlier life.
    await container.redis_announcer().forget_everything()
    out.progress("the index is dropped, and open streams compare themselves")
    out.result({"feeds": total})
