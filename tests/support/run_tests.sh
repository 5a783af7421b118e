#!/usr/bin/env bash
# Runs pytest on every core. Its temporary files are kept in memory if there is room, because the
# tests sync thousands of files.
set -euo pipefail
cd "$(dirname "$0")/../.."

room_kib=$((8 * 1024 * 1024))
parent=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -1)" -gt "$room_kib" ]; then
  parent=/dev/shm
fi
TMPDIR=$(mktemp -d "$parent/prodml-tests-XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# Two workers per core, because tests wait for servers and other processes. Each worker starts with
# a part of the tests in order, so that most fixtures of a module are made once, and takes over tests
# of another worker when its own are done.
.venv/bin/pytest -n $((2 * $(getconf _NPROCESSORS_ONLN))) --dist worksteal "$@"
