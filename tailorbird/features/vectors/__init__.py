"""Features at an instant: of the user, of the item, of both together, and how long they hold."""
