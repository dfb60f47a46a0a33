"""Tests against a real Slurm, started for them alone."""
