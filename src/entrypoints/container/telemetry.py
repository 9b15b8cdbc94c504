"""The tracer of a process."""

from adapters.telemetry import setup
from common.tracing import Tracer
from entrypoints.environment import telemetry
from entrypoints.version import app_version


def tracer(process: str) -> Tracer | None:
    """The tracer that the environment asks for; None if it asks for none. Call it once, after logging is
    configured.
    """
    return setup.tracer(telemetry(), f"bellwire-{process}", app_version())
