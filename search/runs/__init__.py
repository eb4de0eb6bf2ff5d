"""A run folder: its journal and other files, on this machine or behind a URL."""
