"""The ways in: HTTP, the live socket, the consumer process and the command line."""
