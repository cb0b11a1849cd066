"""The loop that closes: a shop whose people answer what they are shown, and models that learn from it."""
