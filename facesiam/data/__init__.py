"""Datasets: read, checked, packed into arrays, split into pairs and triplets."""
