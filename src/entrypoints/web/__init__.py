"""Shared by the REST routes and the live streams: credentials, problem details, health, request logs."""
