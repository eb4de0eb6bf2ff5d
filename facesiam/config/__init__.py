"""The settings of a trial: their names, types, bounds, defaults, and which exclude each other."""
