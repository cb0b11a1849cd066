"""What an answer costs: alone, as the catalogue grows, and beside what it is given on its way."""
