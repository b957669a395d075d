#!/usr/bin/env bash
# A trainer in bash that reports each epoch and stops when the server says so, with curl, sed and awk.
#
#     examples/pruning.sh [URL] [STUDY] [TRIALS]
set -euo pipefail

url=${1:-${OPTUNAPI_URL:-http://127.0.0.1:8000}}
study=${2:-pruning}
trials=${3:-20}

here="$url/optunapi/v1/studies/$study"

# number KEY: print the number at KEY in the JSON on stdin.
number() {
    sed -n "s/.*\"$1\": *\([-+0-9.eE]*\).*/\1/p"
}

# send METHOD URL JSON: print the reply; fail with it if the server refuses.
send() {
    curl --silent --show-error --fail-with-body --request "$1" --data "$3" "$2"
}

send PUT "$here" '{
    "parameters": {"lr": {"type": "float", "low": 0.001, "high": 1, "log": true}},
    "pruner": {"name": "median", "n_startup_trials": 3}
}' >/dev/null

for ((i = 0; i < trials; i++)); do
    trial=$(send POST "$here/trials" '{}')
    id=$(number number <<<"$trial")
    lr=$(number lr <<<"$trial")

    state=complete
    for epoch in {1..10}; do
        loss=$(awk -v lr="$lr" -v t="$epoch" 'BEGIN { printf "%.17g", (1 - lr) ^ t + 4 * lr * lr }')
        reply=$(send POST "$here/trials/$id/report" "{\"step\": $epoch, \"value\": $loss}")
        if [[ $reply =~ \"should_prune\":\ *true ]]; then
            state=pruned
            break
        fi
    done

    send POST "$here/trials/$id/tell" "{\"state\": \"$state\", \"value\": $loss}" >/dev/null
    echo "trial $id: $state at epoch $epoch, loss $loss"
done
