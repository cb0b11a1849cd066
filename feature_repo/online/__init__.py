"""Where live rows are kept: one protocol of a database (database.py), its tables (tables.py), engines, and Feast's plug-ins."""
