#!/usr/bin/env bash
# Makes the environment from the locks; does nothing when it is up to date.
#
#   tools/setup.sh           .venv with torch, requirements.lock and the project itself
#   tools/setup.sh offline   … and what requirements-offline.lock names (any requirements-NAME.lock)
#
# Variables, all optional:
#   PYTHON        the interpreter to build on         (default: python3.11, python3.12 or python3, the first that fits)
#   TORCH         another build of torch, as pip writes it  (default: requirements-torch.lock)
#   TORCH_INDEX   one more package index, for torch alone
#   ENVIRONMENT   conda: install into the active conda environment, not into .venv
# TORCH and TORCH_INDEX are remembered in .venv, so they need to be given once only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra=${1:-}
needed="layermap needs Python 3.11 or 3.12"
# An activated .venv must not be the base of the one that replaces it.
PATH=${PATH//"$PWD/.venv/bin:"/}

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true; }
count() { grep -c '^[^#]*==' "$1"; }
fits() { case $1 in 3.11.* | 3.12.*) true ;; *) false ;; esac }

# Sets python and version.
find_python() {
    local candidates=(python3.11 python3.12 python3) found
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for python in "${candidates[@]}"; do
        version=$(version_of "$python")
        if fits "$version"; then return; fi
    done
    if [ -n "$version" ]; then found="is Python $version"; else found="does not run"; fi
    fail "$python $found; $needed (choose one with PYTHON=/path/to/python3.11)"
}

# pip would compile on one core. Not checked: packages ship templates and files for other Python versions.
compile() {
    local packages
    packages=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    PYTHONWARNINGS=ignore "$bin/python" -m compileall -q -q -j 0 "$packages" || true
}

# install WHAT ARGUMENTS…: one line on the screen, the rest in the log.
install() {
    local what=$1 log=$environment/setup.log cause
    shift
    say "installing $what"
    if ! "$bin/python" -m pip install --progress-bar off --disable-pip-version-check "$@" >"$log" 2>&1; then
        cause=$(grep '^ERROR' "$log" || tail -n 1 "$log")
        fail "could not install $what: ${cause##*$'\n'} (all of it in $log; run it again to continue)"
    fi
}

# An environment of another Python, place or torch is made anew; another lock is installed over the old one.
identify() {
    identity=$(printf '%s\n' "$version" "$PWD" "$torch_choice" | cksum)
    base_stamp=$(cat pyproject.toml requirements.lock requirements-torch.lock tools/setup.sh | cksum)" $identity"
    extra_stamp=$(cksum <"$lock")" $base_stamp"
}

# up_to_date NAME STAMP
up_to_date() { [ -x "$bin/python" ] && [ "$(cat "$environment/layermap-stamp$1" 2>/dev/null)" = "$2" ]; }

make_venv() {
    if [ -z "$python" ]; then
        find_python
        identify
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)"
    say "making .venv with Python $version"
    rm -rf .venv
    mkdir .venv
    printf '%s\n' "$identity" >.venv/layermap-identity # first: an interrupted .venv is still known as ours
    "$python" -m venv .venv || fail "could not make .venv; the cause is above"
}

environment=.venv
if [ "${ENVIRONMENT:-}" = conda ]; then
    [ -n "${CONDA_PREFIX:-}" ] || fail "ENVIRONMENT=conda, but no conda environment is active (conda activate layermap)"
    environment=$CONDA_PREFIX
    PYTHON=$environment/bin/python
fi
bin=$environment/bin
lock=requirements${extra:+-$extra}.lock
[ -f "$lock" ] || fail "there is no $lock; use one of: $(echo requirements-*.lock)"
if [ "$environment" = .venv ] && [ -e .venv ] && [ ! -f .venv/layermap-identity ]; then
    fail ".venv exists but was not made here; move it away, or use another clone"
fi

python= version=
if [ -n "${PYTHON:-}" ]; then
    find_python
else
    version=$(version_of .venv/bin/python) # what was chosen once stays, whatever else is on PATH
    fits "$version" || find_python
fi

if [ -z "${TORCH:-}${TORCH_INDEX:-}" ] && [ -f "$environment/layermap-torch" ]; then
    { read -r TORCH && read -r TORCH_INDEX; } <"$environment/layermap-torch" || true
fi
torch_choice=$(printf '%s\n%s' "${TORCH:-}" "${TORCH_INDEX:-}")
identify

worked=no
if ! up_to_date "" "$base_stamp"; then
    worked=yes
    rm -f "$environment"/layermap-stamp*
    if [ "$environment" = .venv ]; then
        made_for=$(cat .venv/layermap-identity 2>/dev/null || true)
        if [ "$made_for" != "$identity" ] || ! "$bin/python" -m pip --version >/dev/null 2>&1; then make_venv; fi
    fi
    printf '%s\n' "$torch_choice" >"$environment/layermap-torch"
    if [ -n "${TORCH:-}" ]; then wanted=("$TORCH"); else wanted=(-r requirements-torch.lock); fi
    if [ -n "${TORCH_INDEX:-}" ]; then wanted+=(--extra-index-url "$TORCH_INDEX"); fi
    install "torch and what it needs (0.2 GB, with GPU libraries 3 GB)" --no-compile -c requirements.lock "${wanted[@]}"
    install "$(count requirements.lock) packages from requirements.lock (0.5 GB, one to four minutes)" \
        --no-compile --no-deps -r requirements.lock
    install "layermap itself" --no-deps --no-build-isolation -e .
    say "compiling to bytecode"
    compile
    printf '%s\n' "$base_stamp" >"$environment/layermap-stamp"
fi
if [ -n "$extra" ] && ! up_to_date "-$extra" "$extra_stamp"; then
    worked=yes
    install "$(count "$lock") packages from $lock" --no-deps -r "$lock"
    printf '%s\n' "$extra_stamp" >"$environment/layermap-stamp-$extra"
fi
if [ $worked = yes ]; then say "done in $SECONDS s"; else say "$environment is up to date (Python $version)"; fi
