#!/usr/bin/env bash
# A private swarm on loopback: two servers with half of the layers each, and the bridge. Ctrl-C ends all three.
# Usage: examples/petals/swarm.sh MODEL LAYERS [FOLDER]   (MODEL: a folder; LAYERS: how many the model has)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PETALS_VENV:-.venv-petals}/bin/python
[[ -x $python ]] || { echo "There is no $python. Run $here/setup.sh first, or name the folder: PETALS_VENV=..." >&2; exit 1; }
[[ $# -ge 2 ]] || { sed -n 3p "$0" | cut -c3- >&2; exit 2; }
model=$1 layers=$2 swarm=${3:-swarm}
mkdir -p "$swarm"
export HF_HUB_OFFLINE=1 PYTHONWARNINGS=ignore

groups=()
start() {  # in a process group of its own, as each has children
  local name=$1; shift
  setsid "$@" >"$swarm/$name.log" 2>&1 &
  groups+=($!)
  echo $! >"$swarm/$name.pid"
}
end() { for group in "${groups[@]}"; do kill -- "-$group" 2>/dev/null || true; done; }
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

half=$((layers / 2))
start first "$python" "$here/serve.py" "$model" --swarm "$swarm" \
  --blocks "0:$half" --port "${PORT1:-31331}" --first
start second "$python" "$here/serve.py" "$model" --swarm "$swarm" \
  --blocks "$half:$layers" --port "${PORT2:-31332}"
start bridge "$python" "$here/bridge.py" "$model" --swarm "$swarm" --port "${PORT:-8000}"
until grep -q 'The bridge to' "$swarm/bridge.log"; do
  kill -0 "${groups[2]}" 2>/dev/null || { tail "$swarm"/*.log >&2; exit 1; }
  sleep 1
done
tail -n 1 "$swarm/bridge.log"
wait
