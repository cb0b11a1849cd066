"""From requests that wait together to slates, what was shown, and what shadows would have."""
