"""The `bellwire` command line."""
