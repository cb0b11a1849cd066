"""The gates a version passes before an alias moves to it: what they demand is data, what they find is a table."""
