"""Erasure: the places where people are kept, the job that empties them, the receipt that says so."""
