"""The catalogue of several machines: patches in PostgreSQL, tables as objects, mirrored into each one's folder."""
