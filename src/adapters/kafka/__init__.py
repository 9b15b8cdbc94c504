"""Kafka: the durable queue of notifications, and its dead letters."""
