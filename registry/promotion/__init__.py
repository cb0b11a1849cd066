"""Promotion: an alias moves once its version passed the gates, with a decision on record and in the audit log."""
