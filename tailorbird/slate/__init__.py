"""From a profile to a slate: retrieve, filter, score, select, one small class a stage."""
