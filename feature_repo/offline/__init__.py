"""Rows of the past: made for the instants that training asks for, and joined by Feast as of these."""
