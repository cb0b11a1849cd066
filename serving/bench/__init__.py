"""``tailorbird bench``: what the platform costs and what it survives, measured."""
