"""promptmill: prompts and a Hugging Face model become a published dataset.

This package is the core: no Luigi in it, and torch and transformers are imported
inside the functions that need them. Imports go workflows → tasks → promptmill.
"""

__version__ = "0.1.0"
