"""When to stop a trial: the pruning rules, ASHA, and their simulation over recorded runs."""
