"""Who is known: the book of people with each one's own key, and the list of whoever was erased; on this machine or shared."""
