#!/usr/bin/env bash
# A private network on loopback: two nodes with half of the layers each; the first has OpenAI's API. Ctrl-C ends both.
# Usage: examples/language-pipes/network.sh MODEL HALF_GIB [FOLDER]
#   MODEL: a folder with a checkpoint that has a chat template; HALF_GIB: memory for half of its layers in bfloat16
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PIPES_VENV:-.venv-language-pipes}/bin/python
[[ -x $python ]] || { echo "There is no $python. Run $here/setup.sh first, or name the folder: PIPES_VENV=..." >&2; exit 1; }
[[ $# -ge 2 ]] || { sed -n '3,4p' "$0" | cut -c3- >&2; exit 2; }
model=$(cd "$1" && pwd) memory=$2 folder=${3:-network}
name=local/$(basename "$model")
mkdir -p "$folder/models/$name"
ln -sfn "$model" "$folder/models/$name/data"
export LP_MODEL_DIR=$(cd "$folder/models" && pwd) HF_HUB_OFFLINE=1

groups=()
start() {  # node, port; further lines of its configuration come from stdin
  mkdir -p "$folder/$1"
  { printf 'node_id = "%s"\npeer_port = %s\nnetwork_ip = "127.0.0.1"\n' "$1" "$2"
    cat
    printf '[[layer_models]]\nmodel_id = "%s"\ndevice = "cpu"\nmemory = %s\ndata_type = 16\n' "$name" "$memory"
  } >"$folder/$1.toml"
  LP_APP_DIR=$folder/$1 setsid "$python" "$here/on_loopback.py" -c "$folder/$1.toml" run >"$folder/$1.log" 2>&1 &
  groups+=($!)
  echo $! >"$folder/$1.pid"
}
end() { for group in "${groups[@]}"; do kill -9 -- "-$group" 2>/dev/null || true; done; }
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

port=${PORT:-8000} port1=${PORT1:-31341} port2=${PORT2:-31342}
start first "$port1" <<END
job_port = $port
[[end_models]]
model_id = "$name"
num_local_layers = 0
END
until grep -q 'successfully loaded' "$folder/first.log"; do
  kill -0 "${groups[0]}" 2>/dev/null || { tail "$folder"/*.log >&2; exit 1; }
  sleep 1
done
start second "$port2" <<END
[[bootstrap_nodes]]
address = "127.0.0.1"
port = $port1
END
until (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && grep -q 'successfully loaded' "$folder/second.log"; do
  kill -0 "${groups[1]}" 2>/dev/null || { tail "$folder"/*.log >&2; exit 1; }
  sleep 1
done
echo "The network with $name listens on http://127.0.0.1:$port/v1"
wait
