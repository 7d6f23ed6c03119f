#!/bin/sh
# libsilica.a: the library's objects and what they need of the libraries below, linked to one object
# in which only silica_ symbols stay global, so that it meets no name of the program it goes into.
# Usage: make_archive.sh OUT CC MAIN.a OTHER.a...
set -eu
out=$1
cc=$2
main=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Thin archives of meson name objects by path: the linker reads them where they are.
"$cc" -nostdlib -r -o "$work/silica.o" -Wl,--whole-archive "$main" -Wl,--no-whole-archive \
    -Wl,--start-group "$@" -Wl,--end-group
objcopy --wildcard --keep-global-symbol='silica_*' "$work/silica.o"
rm -f "$out"
ar rcs "$out" "$work/silica.o"
