"""Slurm: submitting a run as an array, being preempted, and knowing who works on what."""
