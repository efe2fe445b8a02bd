#!/bin/sh
# Make the project's virtual environment from its hashed lock files: bootstrap.sh VENV LOCK [LOCK ...]
# or say by the exit code whether the one that is there works: bootstrap.sh --check VENV
# The one thing needed before it is Python 3.11 or newer with venv; everything else is installed by hash.
set -eu

# It is run, not believed: after an upgrade of Python its interpreter is gone or finds no packages, and in a checkout
# that was moved or copied it runs the code of another place.
works() {
    "$1/bin/python" -I -c 'import sys, click, pydantic_core, stackctl; sys.exit(stackctl.__file__ != sys.argv[1])' \
        "$(pwd -P)/stackctl/__init__.py" 2>/dev/null
}

if [ "$1" = --check ]; then
    works "$2" && exit 0
    exit 1
fi

venv=$1
shift
python=${PYTHON:-python3}

fail() {
    printf 'error: %s\nnext:  %s\n' "$1" "$2" >&2
    exit 5
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "$python is not Python 3.11 or newer" "install it, or name another one: make PYTHON=python3.12"

if ! works "$venv"; then
    said=$("$python" -m venv --clear "$venv" 2>&1) ||
        fail "$python cannot make $venv: $(printf '%s' "$said" | tail -n 1)" \
            "on Debian and Ubuntu: apt-get install python3-venv; or make the folder writable"
fi

# uv installs in seconds what takes pip half a minute; uv itself comes from the same lock, by pip.
if ! [ -x "$venv/bin/uv" ]; then
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' "$1" >"$venv/uv.lock"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$venv/uv.lock" ||
        fail "the package index did not give uv" "set PIP_INDEX_URL to a mirror, and PIP_CERT to its certificate authority"
fi

"$venv/bin/python" scripts/install_locked.py "$@"
"$venv/bin/python" scripts/install_locked.py --checkout
