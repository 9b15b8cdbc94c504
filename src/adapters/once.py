"""Once: logs a lasting failure once, not at each attempt."""

from logging import Logger

# Reasons that differ each time must fill neither the log nor this set.
_MOST_REASONS = 20


class Once:
    """Logs a failure once for each reason, and once when it is over."""

    def __init__(self, logger: Logger, what: str) -> None:
        """`what` names the failure, such as "Redis is out of reach"."""
        self._logger = logger
        self._what = what
        self._reasons: set[str] = set()

    def failed(self, reason: str) -> None:
        """Log a warning if this reason is new since the last success."""
        if reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
            self._reasons.add(reason)
            self._logger.warning("%s: %s", self._what, reason)

    def well(self) -> None:
        """Log that the failure is over, if there was one."""
        if self._reasons:
            self._reasons.clear()
            self._logger.info("over: %s", self._what)
