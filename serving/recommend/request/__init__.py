"""A request: who asks and what for, the profile it is answered with, who was erased."""
