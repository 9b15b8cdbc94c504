"""`python -m bench.unstored [plain]`: the API for frames that are in no store.

Its streams do not compare themselves with the store, which would show that they are ahead of it; so their
clock stands still.
"""

import sys

from dependency_injector import providers

from bench import plain
from entrypoints.commands import cli
from entrypoints.container.api import ApiContainer
from entrypoints.timing import Timing


def main() -> None:
    """Serve until a signal."""
    ApiContainer.stream_timing.override(providers.Object(Timing(tick=24 * 60 * 60)))
    if sys.argv[1:] == ["plain"]:
        plain.main()
    else:
        sys.exit(cli.main(["api"]))


if __name__ == "__main__":
    main()
