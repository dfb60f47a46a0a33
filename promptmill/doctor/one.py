"""One check in a process of its own: `python -m promptmill.doctor.one NAME DATA_DIR`.

Libraries may print what they like; the findings are the last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from promptmill.doctor.checks import CHECKS


def main() -> None:
    """Run the check and print its findings as one line of JSON."""
    name, data = sys.argv[1:]
    findings = [finding.to_json() for finding in CHECKS[name](Path(data))]
    sys.stdout.write(f"\n{json.dumps(findings)}\n")


if __name__ == "__main__":
    main()
