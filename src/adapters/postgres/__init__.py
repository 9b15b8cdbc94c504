"""PostgreSQL: the store."""
