"""What to search: a YAML file as a SearchSpace."""
