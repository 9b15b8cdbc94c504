"""Logging: one JSON object per line, with request and trace ids. Bodies and secrets are never logged."""

import logging
import math
import sys
from datetime import UTC, datetime
from typing import Any

from application.printing import printable
from common import tracing, wire

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


_REPEATED_SECONDS = 60.0
_MOST_REMEMBERED = 1_000


class JsonFormatter(logging.Formatter):
    """A record as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": tracing.request_id.get(),
            "trace_id": tracing.trace_id(),
        }
        line |= {key: str(value) for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return wire.text({key: value for key, value in line.items() if value is not None})


class TextFormatter(logging.Formatter):
    """A record as text, on one line regardless of what it quotes; only an error's traceback adds lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in the parent class
        record.message = printable(record.message)
        return super().formatMessage(record)


class Repetitions(logging.Filter):
    """Lets a line of a library through once a minute: it repeats the same ten times a second."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != self._library or record.exc_info:
            return True
        line, now = record.getMessage(), record.created
        if now - self._logged.get(line, -math.inf) < _REPEATED_SECONDS:
            return False
        if len(self._logged) >= _MOST_REMEMBERED:
            self._logged.clear()
        self._logged[line] = now
        return True


def configure(level: str, style: str) -> None:
    """Send the lines of all loggers to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(Repetitions("aiokafka"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # At INFO it logs every attempt to reconnect to any node.
    logging.getLogger("aiokafka").setLevel(max(logging.getLevelName(level), logging.WARNING))
    # uvicorn logs the query of every socket, which holds its ticket.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
