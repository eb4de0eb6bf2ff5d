"""Training a trial of a run again, and testing it or an ensemble of the best trials."""
