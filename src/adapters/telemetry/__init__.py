"""Traces: spans around the ports, and OpenTelemetry's SDK, which is imported only where tracing is on."""
