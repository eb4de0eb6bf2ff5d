"""The data frames of a run, and statistics over its trials."""
