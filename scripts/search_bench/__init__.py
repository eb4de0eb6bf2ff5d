"""The benchmark of whole searches: a recorded table of trainings, and searches played on it."""
