"""The doctor: what each setting points at, whether it answers, and what to do where it does not."""
