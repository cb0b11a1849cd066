"""Export: everything of a person, in words they understand."""
