"""Everything is said in setup.cfg; this call is for tools that still look for setup.py."""

from setuptools import setup

setup()
