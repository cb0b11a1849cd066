"""Bandits: experiments whose variants get more of the units that they serve well, renewed from what was counted."""
