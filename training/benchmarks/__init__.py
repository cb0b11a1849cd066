"""Published protocols on known data sets: read, cut, every row measured, files to recompute it from."""
