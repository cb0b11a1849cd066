"""Triggers: which moves of people call which addresses, and the queue of what is still to be delivered."""
