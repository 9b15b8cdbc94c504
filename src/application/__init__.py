"""What the service does, and the ports it needs for that. No framework, no driver."""
