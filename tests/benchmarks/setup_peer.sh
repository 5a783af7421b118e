#!/bin/sh
# Makes .venv-tfx with TFX 1.16.0, the peer that run.py measures against. The pins come from
#   cd / && uv pip compile --python-version 3.11 --no-annotate --no-header \
#       $REPOSITORY/tests/benchmarks/peer_requirements.in -o .../peer_requirements.txt
set -eu
benchmarks=$(cd "$(dirname "$0")" && pwd)
environment="$benchmarks/../../.venv-tfx"
# From outside the repository: inside it uv applies the overrides of pyproject.toml, which leave
# out packages that TFX imports.
cd /
uv venv --quiet --allow-existing --python 3.11 "$environment"
uv pip install --quiet --compile-bytecode --python "$environment/bin/python" -r "$benchmarks/peer_requirements.txt"
