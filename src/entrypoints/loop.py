"""The event loop (uvloop where it exists, which is not on Windows) and garbage collection."""

import asyncio
import gc
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of event loops; None for the standard library's."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


def tune_gc() -> None:
    """Make garbage collection rare, and exempt the objects that a process keeps all its life.

    By default it runs every 700 new objects and scans hundreds of thousands of old ones again and again: a
    pause of tens of milliseconds in the middle of a request. The youngest generation is kept small:
    when thousands of streams open, nearly all young objects are in use, and each scan takes time for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 100)
