"""The HTTP edge of every replica: routes, bodies, problem details, cursors."""
