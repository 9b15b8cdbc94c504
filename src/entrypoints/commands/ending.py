"""How a command that runs for a while ends."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

INTERRUPTED = 130


def run(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run to the end, and return the exit status: that of the work; 130 after Ctrl-C; 0 if whoever read the
    output has closed it, as `| head` does.
    """
    try:
        status = asyncio.run(work())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more before it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status
