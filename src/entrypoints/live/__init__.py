"""The live stream: its frames, a session of it, and the socket that a session runs on."""
