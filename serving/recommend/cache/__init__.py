"""Rankings kept for a while: in the memory of a replica, or in Redis for all of them."""
