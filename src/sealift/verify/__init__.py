"""Proves what is on both sides, and how it is sealed; `verification` has a run."""
