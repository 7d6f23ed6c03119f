#!/bin/sh
# Our HTTP parser beside llhttp (tests/differential/llhttp.c), built from the sources that Debian's
# package node-llhttp installs. LLHTTP_PREFIX names another place that they were unpacked to.
set -eu

source=${SILICA_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
prefix=${LLHTTP_PREFIX:-/usr}
if [ ! -f "$prefix/share/llhttp/llhttp.c" ]; then
    echo "1..0 # SKIP the package node-llhttp is not installed"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in api http llhttp; do
    cc -O1 -w -I"$prefix/share/include/llhttp" -c "$prefix/share/llhttp/$name.c" \
        -o "$work/llhttp_$name.o"
done
cd "$source"
cc -O1 -g -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Isrc -I"$prefix/share/include/llhttp" \
    -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -o "$work/differential" tests/differential/llhttp.c "$work"/llhttp_*.o \
    src/http/chunk.c src/http/head.c src/http/head_write.c src/http/status.c src/http/url.c \
    src/base/*.c
"$work/differential" tests/fuzz/corpus/http_head/*
