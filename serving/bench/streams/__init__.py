"""What it costs to take in, to keep, to read and to erase what people do and what there is."""
