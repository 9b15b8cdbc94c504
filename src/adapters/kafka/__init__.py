"""Kafka: the durable inlet."""
