"""The live connections of this process."""
