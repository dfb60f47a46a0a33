"""`python -m tests.help`: record the help as it is now, and show what has changed."""

from __future__ import annotations

import sys

from tests.help.files import difference, read, write
from tests.help.texts import texts

if __name__ == "__main__":
    now = texts()
    sys.stdout.write(f"{difference(read(), now) or 'Nothing has changed.'}\n")
    write(now)
