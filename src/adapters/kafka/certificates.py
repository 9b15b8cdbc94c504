"""Certificates that are renewed while the process runs."""

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

_log = logging.getLogger(__name__)


class RenewedContext(ssl.SSLContext):
    """A TLS context for clients whose new connections use the files as they are then.

    aiokafka keeps one context for its life. So this one stands for the context that `make` returned last, and
    calls it again once a file has changed. If `make` raises OSError, the last one goes on: whoever replaces
    several files does not replace all at the same moment.
    """

    def __new__(cls, _make: Callable[[], ssl.SSLContext], _files: Sequence[str]) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, make: Callable[[], ssl.SSLContext], files: Sequence[str]) -> None:
        self._make = make
        self._files = [Path(name) for name in files]
        self._times = self._changed_at()
        self._made = make()

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection, as the base class does. Event loops call this."""
        try:
            if (times := self._changed_at()) != self._times:
                # If a file is half written it will have another time.
                self._times = times
                self._made = self._make()
        except OSError as error:
            _log.warning("certificates for Kafka were replaced and cannot be used: %s", error)
        return self._made.wrap_bio(*given, **named)

    def _changed_at(self) -> Sequence[int]:
        return [file.stat().st_mtime_ns for file in self._files]
