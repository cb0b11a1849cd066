"""Who said what of whom: consents, links of devices and people, and the door of whoever learns from events."""
