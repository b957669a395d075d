#!/usr/bin/env bash
# A trainer of OptunAPI 0.1 in bash, with curl, sed and awk: `with_curl.sh ASK_URL SCORE_URL ID_NAME`.
set -euo pipefail

# value KEY: print the number or text at KEY in the JSON on stdin.
value() {
    sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p"
}

while true; do
    reply=$(curl --silent --show-error --write-out '\n%{http_code}' "$1")
    trial=${reply%$'\n'*}
    case ${reply##*$'\n'} in
    200) ;;
    409)
        value code <<<"$trial"
        exit 0
        ;;
    *)
        echo "$reply" >&2
        exit 1
        ;;
    esac
    id=$(value trial_id <<<"$trial")
    score=$(awk -v lr="$(value lr <<<"$trial")" -v n="$(value n <<<"$trial")" -v x="$(value x <<<"$trial")" \
        'BEGIN { printf "%.17g", n == 0 ? lr : lr * n + (x < 0 ? log(-1) : sqrt(x)) }')
    curl --silent --show-error --fail-with-body --output /dev/null "$2?$3=$id&score=$score"
done
