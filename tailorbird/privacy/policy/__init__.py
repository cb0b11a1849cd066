"""What an operator decided in ``privacy.toml``, and what people said: purposes, bases, rules, ages."""
