"""The ranker: orders candidates by what every source and feature says of them."""
