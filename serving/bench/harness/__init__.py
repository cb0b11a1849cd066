"""What every measurement stands on: the world that is served, loads that press it, the machine it was on."""
