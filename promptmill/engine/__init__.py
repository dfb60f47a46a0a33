"""Engines: requests in, completions out as they finish, until told to stop."""
