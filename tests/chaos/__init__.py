"""Breaking everything on purpose: short versions of what `make chaos` does at length."""
