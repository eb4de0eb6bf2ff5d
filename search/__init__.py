"""Which settings to try next, which trials to stop, what was learned."""
