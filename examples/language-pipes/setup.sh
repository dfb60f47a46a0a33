#!/usr/bin/env bash
# language-pipes in a virtual environment of its own (some 1.2 GB), as it pins its transformers. Wants Python 3.10 or later.
# Usage: examples/language-pipes/setup.sh [FOLDER], by default .venv-language-pipes
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-.venv-language-pipes}
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check install --quiet -r "$here/requirements.txt"
echo "language-pipes is ready in $venv"
