"""The benchmark of a GPU: its parts, the file that their figures go to, and what runs them."""
