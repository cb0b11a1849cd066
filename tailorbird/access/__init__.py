"""Who may call: keys with scopes, their file, their limits, and the judgement of a call."""
