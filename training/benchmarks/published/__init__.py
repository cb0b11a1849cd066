"""Published protocols: data read and cut, every row of the table measured, files to recompute it from."""
