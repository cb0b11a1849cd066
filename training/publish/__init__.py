"""From a fitted model to a registered version: the bundle, the run's record, plots and the model card."""
