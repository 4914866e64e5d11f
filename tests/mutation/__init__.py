"""Mutation: each guard that a run's fate depends on is taken out once, to see that a test misses it."""
