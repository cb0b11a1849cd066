"""Items and users: what there is to recommend, and to whom."""
