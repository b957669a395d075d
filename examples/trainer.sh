#!/usr/bin/env bash
# A trainer in bash, with curl, sed and awk. It minimises a paraboloid.
#
#     examples/trainer.sh [URL] [STUDY] [TRIALS]
set -euo pipefail

url=${1:-${OPTUNAPI_URL:-http://127.0.0.1:8000}}
study=${2:-optunapi-test}
trials=${3:-20}

# number KEY: print the number at KEY in the JSON on stdin.
number() {
    sed -n "s/.*\"$1\": *\([-+0-9.eE]*\).*/\1/p"
}

get() {
    curl --silent --show-error --fail-with-body "$url/optunapi/$1"
}

for ((i = 0; i < trials; i++)); do
    trial=$(get "hparams/$study")
    id=$(number trial_id <<<"$trial")
    x=$(number x <<<"$trial")
    y=$(number y <<<"$trial")

    score=$(awk -v x="$x" -v y="$y" 'BEGIN { printf "%.17g", x * x + y * y }')

    reply=$(get "score/$study?trial_id=$id&score=$score")
    echo "trial $id: $score, best so far $(number best_score <<<"$reply")"
done
