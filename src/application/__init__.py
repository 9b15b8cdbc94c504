"""The use cases of the service, and the ports they need. No framework, no driver."""
