"""What MLflow keeps of a run: parameters, figures, plots, and the pages that show them."""
