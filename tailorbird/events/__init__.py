"""The event log: one schema, durable appends, day-partitioned Parquet."""
