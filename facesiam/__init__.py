"""Train one Siamese net with one set of settings; knows nothing of a search."""
