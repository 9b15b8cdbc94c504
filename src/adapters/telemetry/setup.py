"""Whether this process makes traces, by the variables that OpenTelemetry defines."""

import importlib
import logging
from collections.abc import Mapping

from common.tracing import Tracer

logger = logging.getLogger(__name__)

EXPORTERS = frozenset({"otlp", "console"})
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_MISSING = "OTEL_… variables ask for traces, but OpenTelemetry is not installed: pip install 'bellwire[otel]'"


def tracer(variables: Mapping[str, str], service: str, version: str) -> Tracer | None:
    """The tracer that these OTEL_… variables ask for. None if they ask for none, or for one that there is
    not, which is logged: traces are no reason not to serve.
    """
    try:
        exporters = asked(variables)
        if not exporters:
            return None
        sdk = importlib.import_module("adapters.telemetry.sdk")
        made: Tracer = sdk.build(exporters, service, version)
    except ImportError:
        logger.warning(_MISSING)
    except ValueError as error:
        logger.warning("no traces are made: %s", error)
    else:
        logger.info("traces go to: %s", ", ".join(exporters))
        return made
    return None


def asked(variables: Mapping[str, str]) -> list[str]:
    """The exporters that are asked for. Unlike the SDK's default, somebody must ask: name an exporter or an
    endpoint. Raises ValueError for one that there is not.
    """
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(name in variables for name in _ENDPOINTS) else "none"
    names = [name.strip().lower() for name in variables.get("OTEL_TRACES_EXPORTER", default).split(",")]
    if "none" in names:
        return []
    for name in names:
        if name not in EXPORTERS:
            raise ValueError(f"OTEL_TRACES_EXPORTER: must be otlp, console or none, not {name}")
    if "otlp" in names:
        _check_protocol(variables)
    return list(dict.fromkeys(names))


def _check_protocol(variables: Mapping[str, str]) -> None:
    name = next((name for name in _PROTOCOLS if name in variables), None)
    if name is not None and variables[name] != _PROTOCOL:
        raise ValueError(f"{name}: must be {_PROTOCOL}, not {variables[name]}")
