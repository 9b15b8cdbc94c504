"""Processes and commands: HTTP, live streams, the consumer and the command line."""
