#!/usr/bin/env bash
# The tests that need a stack, on one of their own that is gone afterwards.
# Arguments go to pytest; the default is the contract suite and tests/stack.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${STACK_PYTHON:-.venv/bin/python}
programs=${STACK_PROGRAMS:-$PWD/.stack/programs}
folder=$(mktemp -d "${TMPDIR:-/tmp}/exp_stack.XXXXXX")
chmod 755 "$folder" # PostgreSQL runs under an account of its own
# built and fetched once, beside what `make stack-up` uses
mkdir -p "$programs"
ln -s "$programs" "$folder/programs"
tests=

stack() {
    "$python" -m infra.stack --folder "$folder" "$@"
}

finish() {
    code=$?
    trap - EXIT INT TERM
    # Spark's Java is in the group too, and outlives a Python that was killed
    [ -z "$tests" ] || kill -KILL -- "-$tests" 2>/dev/null || true
    stack down || true
    rm -rf "$folder/data"
    if [ "$code" = 0 ]; then
        rm -rf "$folder"
    else
        echo "test-stack failed; logs of the services: $folder/logs" >&2
        tail -n 15 "$folder"/logs/*.log >&2 || true
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Most queries run once: Java that compiles them well is slower than Java that does not.
quick="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
TRINO_JAVA_OPTIONS=$quick stack up
eval "$(stack env)"
export SPARK_SUBMIT_OPTS=$quick
[ $# -gt 0 ] || set -- tests/contracts tests/stack
# Spark's bridge to Java leaves sockets to the garbage collector.
setsid timeout -k 20 1800 "$python" -m pytest -q -n 2 --dist loadgroup --durations=15 \
    -W "ignore:unclosed <socket:ResourceWarning" "$@" &
tests=$!
wait "$tests"
