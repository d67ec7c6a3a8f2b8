#!/usr/bin/env bash
# Put ONNX Runtime's C++ headers into a folder: bash tests/native/onnxruntime_headers.sh FOLDER
#
# They come from Debian's libonnxruntime-dev, unpacked and not installed. Debian has it from release 13 on; on
# release 12 it is taken from 13, as headers need nothing else and any later library serves them.
set -euo pipefail
mkdir -p "$1"
target=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(-qq -o APT::Sandbox::User=root)
if ! apt-cache show libonnxruntime-dev >/dev/null 2>&1; then
  . /etc/os-release
  mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $VERSION_CODENAME" | head -n 1)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  echo "deb $mirror trixie main" >"$work/sources.list"
  options+=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache")
  apt-get "${options[@]}" update
fi
(cd "$work" && apt-get "${options[@]}" download libonnxruntime-dev && dpkg-deb -x ./*.deb unpacked)
cp -r "$work/unpacked/usr/include/onnxruntime/." "$target"
