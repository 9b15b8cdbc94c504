"""WebSocket connections of this process."""
