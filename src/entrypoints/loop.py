"""The event loop: uvloop's where it exists (not on Windows)."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop; None for the standard library's."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
