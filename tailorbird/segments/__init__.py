"""Segments: what kind of visitor somebody is at an instant, and how that moves."""
