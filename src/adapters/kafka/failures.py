"""The errors with which aiokafka fails while a server is out of reach."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka.errors import IllegalStateError, KafkaError

from application.errors import Unavailable

FAILURES: Final = (KafkaError, IllegalStateError, TimeoutError, RuntimeError)
"""RuntimeError is raised by uvloop for writing to a connection that was just reset: aiokafka passes it on."""


class NoToken(KafkaError):  # type: ignore[misc]
    """No token could be had; the message says why. aiokafka then tries the next connection."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for them."""
    try:
        yield
    except TimeoutError as error:
        raise Unavailable("Kafka does not answer.") from error
    except FAILURES as error:
        raise Unavailable(f"Kafka is out of reach: {error!r}") from error
