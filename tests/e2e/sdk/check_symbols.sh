#!/bin/sh
# What libsilica lets out: symbols that begin with silica_, and all that the header declares.
# Usage: check_symbols.sh LIBRARY.so LIBRARY.a
set -eu
header=$(dirname "$0")/../../../include/silica/silica.h
declared=$(grep -o 'silica_[a-z0-9_]*(' "$header" | tr -d '(' | sort -u)
n=0
failed=0

result() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "$2" | sed 's/^/# /'
        failed=1
    fi
}

for pair in "shared:-D:$1" "archive::$2"; do
    kind=${pair%%:*}
    rest=${pair#*:}
    # shellcheck disable=SC2086  # an empty flag must vanish
    symbols=$(nm ${rest%%:*} --defined-only --extern-only "${rest#*:}" 2>/dev/null |
        awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)
    result "$kind: only silica_ symbols" "$(echo "$symbols" | grep -v '^silica_' || true)"
    missing=
    for name in $declared; do
        echo "$symbols" | grep -qx "$name" || missing="$missing $name"
    done
    result "$kind: all that the header declares" "$missing"
done
echo "1..$n"
exit $failed
