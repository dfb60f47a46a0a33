#!/usr/bin/env bash
# language-pipes in a virtual environment of its own (some 1.2 GB), as it pins its transformers. Wants Python 3.10 or later.
# Usage: examples/language-pipes/setup.sh [FOLDER], by default .venv-language-pipes
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-.venv-language-pipes}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  { echo "language-pipes needs Python 3.10 or later; '$python' is none. Name one: PYTHON=python3.11 $0" >&2; exit 1; }
"$python" -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet -r "$here/requirements.txt"
echo "language-pipes is ready in $venv"
