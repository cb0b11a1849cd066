"""Backups: what cannot be made anew, with everything of a person under their own key, so that an erasure reaches them too."""
