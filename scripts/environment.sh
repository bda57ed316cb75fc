# Sourced by the other scripts: makes .venv with the pinned versions, or reuses it while nothing has changed.
# usage: environment EXTRAS
environment() {
    local extras=$1
    local stamp
    stamp="$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16) $extras"
    if [ -x .venv/bin/synthface ] && grep -qxF "$stamp" .venv/stamps 2>/dev/null; then
        return
    fi
    local python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Python 3.11 or later is needed; name one: PYTHON=python3.11 $0" >&2
        exit 3
    }
    echo "Installing into .venv (some minutes the first time) ..."
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    # torch alone first: with a range in the way, pip may look at several builds of a gigabyte each.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' constraints.txt)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]"
    echo "$stamp" >> .venv/stamps
}
