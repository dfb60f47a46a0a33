"""The report of a run: one HTML file that says whether the dataset is any good, and how the run went.

It looks at what is on disk and changes none of it; a run that is not finished has one too.
"""
