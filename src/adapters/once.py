"""Once: what goes wrong again and again is said once."""

from logging import Logger

# Texts that differ each time must not fill the log, nor this set.
_MOST_REASONS = 20


class Once:
    """Says in the log what is wrong, once for each reason, and once that it is over."""

    def __init__(self, logger: Logger, what: str) -> None:
        """`what` is what is wrong, such as "Redis is out of reach"."""
        self._logger = logger
        self._what = what
        self._reasons: set[str] = set()

    def failed(self, reason: str) -> None:
        """It is wrong. A warning says so if the reason is new since it was last well."""
        if reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.add(reason)
            self._logger.warning("%s: %s", self._what, reason)

    def well(self) -> None:
        """It is well. A line says so if it was wrong."""
        if self._reasons:
            self._reasons.clear()
            self._logger.info("over: %s", self._what)
