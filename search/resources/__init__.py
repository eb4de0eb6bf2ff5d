"""What each trial gets of a machine, and what a search costs."""
