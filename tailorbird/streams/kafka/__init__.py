"""Kafka as the engine of a stream: the topic is the truth, a mirror in the workspace makes it quick to read."""
