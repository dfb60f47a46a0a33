"""Runs that an earlier version began, finished or not: the code of now has to go on in them."""
