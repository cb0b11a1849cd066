"""What profiles keep of events: packed records, each one's context, decayed sums, sets of item keys."""
