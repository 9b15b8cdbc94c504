"""The errors with which aiokafka fails while a server is out of reach."""

from typing import Final

from aiokafka.errors import IllegalStateError, KafkaError

FAILURES: Final = (KafkaError, IllegalStateError, TimeoutError, RuntimeError)
"""RuntimeError is raised by uvloop for writing to a connection that was just reset: aiokafka passes it on."""
