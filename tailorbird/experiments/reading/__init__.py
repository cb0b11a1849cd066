"""Reading a finished test: a table with one row a unit ▸ aggregates ▸ comparisons ▸ a verdict in words."""
