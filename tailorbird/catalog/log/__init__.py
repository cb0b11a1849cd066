"""What was told since the tables were written: checked, numbered, what it changed and what was before."""
