"""``tailorbird bench serving``: a world to serve, a load to press with, the figures."""
