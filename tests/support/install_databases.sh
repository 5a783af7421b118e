#!/usr/bin/env bash
# Installs PostgreSQL and MariaDB for the tests from Debian's packages, if they are missing.
# The tests start separate servers, on free loopback ports with separate data.
set -euo pipefail

have() { PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; }
has_postgresql() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || have initdb; }

missing=()
has_postgresql || missing+=(postgresql)
{ have mariadbd && have mariadb-install-db; } || missing+=(mariadb-server)
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || {
    echo "the tests need ${missing[*]}; install with: sudo apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo -n)
fi
command -v apt-get >/dev/null || {
  echo "the tests need ${missing[*]}: PostgreSQL and MariaDB servers, from your system's packages" >&2
  exit 1
}
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
