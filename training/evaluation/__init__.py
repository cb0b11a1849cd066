"""How good a model is: measured on cases it was not fitted on, and on what happened since."""
