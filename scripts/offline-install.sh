#!/bin/sh
# Install stackctl from the bundle that this script lies in: no network, no pip, no root.
#
# usage: sh bootstrap/install.sh [--to FOLDER] [--bin FOLDER]
#
# Finds any Python 3 and lets install.py, beside this file, do the work.
set -eu

here="$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)"
for python in python3 python3.13 python3.12 python3.11 python3.14; do
  if command -v "$python" >/dev/null 2>&1 && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
    exec "$python" -I "$here/install.py" "$@"
  fi
done
echo "error: no Python 3 is on PATH; the bundle brings everything else" >&2
echo "next:  install Python 3.11 or later from this system's installation media" >&2
exit 3
