"""What callers notice when a part is killed: replicas, brokers, Redis, whole machines."""
