"""Models forget: who was erased goes out of what versions in use have counted, and by retraining out of what they learned."""
