"""What every room needs and nobody comes for: the terminal, one process at a time, compiled loops."""
