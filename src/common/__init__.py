"""What adapters and entry points share: the JSON on the wire, the metrics, the ids of a trace."""
