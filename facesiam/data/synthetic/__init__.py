"""Drawn faces: a dataset that needs no download."""
