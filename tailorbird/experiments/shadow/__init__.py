"""Shadows: an arm answers what others are asked, is compared with what answers them, and is shown to nobody."""
