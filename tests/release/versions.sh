#!/usr/bin/env bash
# Build the wheel and try it with each Python named, in an environment of its own.
#
#     bash tests/release/versions.sh python3.10 python3.11 python3.12 python3.13
#     bash tests/release/versions.sh --lowest python3.10     # with the oldest dependencies that it allows
set -euo pipefail
unset PYTHONPATH
lowest=
if [[ ${1-} == --lowest ]]; then lowest=yes; shift; fi
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/build"
"$work/build/bin/pip" install --quiet build
"$work/build/bin/python" -m build --outdir "$work/dist" . >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
ls -l "$work/dist"
for python in "$@"; do
  "$python" -m venv "$work/venv"
  oldest=()
  if [[ $lowest ]]; then
    mapfile -t oldest < <(unzip -p "$work"/dist/*.whl '*/METADATA' | sed -n '/;/!s/^Requires-Dist: \(.*\)>=/\1==/p')
    echo "${oldest[@]}"
  fi
  "$work/venv/bin/pip" install --quiet "$work"/dist/*.whl "${oldest[@]}"
  "$work/venv/bin/python" -I tests/release/smoke.py examples/playground.wav
  rm -rf "$work/venv"
done
