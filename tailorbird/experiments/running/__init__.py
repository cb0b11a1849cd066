"""What runs: hashing of units, room in layers, the ledger of states, and who is assigned to what."""
