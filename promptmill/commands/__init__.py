"""The commands of `promptmill`, a module each; they import what is heavy when they run."""
