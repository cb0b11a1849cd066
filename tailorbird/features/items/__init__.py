"""The items that features are of: what is known of them, what happened to them, kept up with the catalogue."""
