"""Arms and who gets which: what answers a request, and the function that decides it."""
