"""The proof of the statistics: thousands of tests on simulated shops, in which what is true is known."""
