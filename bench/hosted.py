"""An object in a process of its own, so that its work costs the measuring process nothing."""

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
    """Make the object in a new process. Call the result with a coroutine function, which gets it as first
    argument.

    Tasks that it started continue between the calls. A call raises the function's error as RuntimeError, or
    TimeoutError.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, kind, arguments), daemon=True)
    process.start()
    theirs.close()  # so that we notice when it ends

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
        except Exception as error:  # noqa: BLE001 - raised again on the other side
            outcome = RuntimeError(repr(error))
        pipe.send(outcome)
