"""The catalogue: items and users, patched or as whole files."""
