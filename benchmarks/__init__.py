"""Benchmarks: scripts that print the tables of README.md in this folder."""
