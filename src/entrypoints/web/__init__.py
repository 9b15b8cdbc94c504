"""What the REST routes and the live streams share: credentials, problem details, health, request logs."""
