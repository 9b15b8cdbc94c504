"""Shared by adapters and entry points: the JSON on the wire, the metrics, the trace ids."""
