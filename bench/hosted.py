"""An object in a process of its own, so that what it does costs the measuring process nothing."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import uvloop

_CALL_SECONDS = 120


@contextmanager
def hosted(kind: Callable[..., Any], *arguments: Any) -> Iterator[Callable[..., Any]]:
    """Make it in a new process; call it with a coroutine function, which gets it as its first argument.

    What it started goes on between the calls. A call raises what the function raised, as RuntimeError, or
    TimeoutError.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, kind, arguments), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed

    def call(work: Any, *arguments: Any, seconds: float = _CALL_SECONDS) -> Any:
        ours.send((work, arguments))
        if not ours.poll(seconds):
            raise TimeoutError(f"{work.__name__} took more than {seconds} s")
        outcome = ours.recv()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    try:
        yield call
    finally:
        process.kill()
        process.join()


def _serve(pipe: Connection, kind: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    uvloop.run(_obey(pipe, kind(*arguments)))


async def _obey(pipe: Connection, made: Any) -> None:
    while True:
        work, arguments = await asyncio.to_thread(pipe.recv)
        try:
            outcome = await work(made, *arguments)
        except Exception as error:  # noqa: BLE001 - it is raised on the other side
            outcome = RuntimeError(repr(error))
        pipe.send(outcome)
