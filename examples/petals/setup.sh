#!/usr/bin/env bash
# Petals in a virtual environment of its own (some 1.6 GB): its libraries are three years older than promptmill's.
# Wants Python 3.11 on Linux, x86-64. Usage: examples/petals/setup.sh [FOLDER], by default .venv-petals
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-.venv-petals}
python=${PYTHON:-python3.11}

[[ $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') == 3.11 ]] ||
  { echo "Petals' pinned set is for Python 3.11; '$python' is another. Name one: PYTHON=python3.11 $0" >&2; exit 1; }
"$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
"${pip[@]}" -r "$here/requirements.txt"
# These state ranges that no set of libraries meets: without what they ask for, which the file above has.
"${pip[@]}" --no-deps -r "$here/requirements-no-deps.txt"
"$venv/bin/python" -W ignore -c "import sys; sys.path.insert(0, '$here'); import moved_names, petals"
echo "Petals is ready in $venv"
