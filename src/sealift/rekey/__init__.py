"""Writes objects anew in their places under another key: a run in `prefix`, one in `rekeyer`."""
