# Shared by scripts/{demo,test,check,bench} and .ci/run: finds a Python, and keeps a virtual environment up to date.
#
# Sourced, never run. There is one way to make an environment: `python -m venv`, then pip. The first run installs; later
# runs compare pyproject.toml with the copy that the environment was made from, and start at once while it is the same.
# Written for bash 3.2 too, which is what macOS has.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Newest first; the classifiers in pyproject.toml name the same versions, and a test compares the two.
supported_minors="14 13 12 11"

say() {
  printf '%s\n' "$*" >&2
}

fail() {
  say "$(basename "$0"): $*"
  exit 1
}

# Prints the header comment of the script that is running, which is its help text.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
}

# describe_python COMMAND: prints "3.Y /real/path" for a released CPython that can make environments; fails otherwise.
describe_python() {
  "$1" -c '
import ensurepip, sys, sysconfig, venv
is_ours = sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
if not is_ours or sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null
}

# Prints one "3.Y /real/path" per supported CPython on PATH or under pyenv, newest first.
list_pythons() {
  local minor candidate description
  for minor in $supported_minors; do
    for candidate in "python3.$minor" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python python3 python; do
      # A pyenv shim exists for every version and runs only the selected one, so what counts is what answers.
      description=$(describe_python "$candidate") || continue
      case $description in
        "3.$minor "*) printf '%s\n' "$description" && break ;;
      esac
    done
  done
}

# Prints the path of the newest supported CPython, or ends the script with what to do.
newest_python() {
  local descriptions description
  descriptions=$(list_pythons)
  description=${descriptions%%$'\n'*}
  [ -n "$description" ] || fail "no CPython 3.11 to 3.14 with the venv module found; install one (Debian: python3 python3-venv)"
  printf '%s\n' "${description#* }"
}

# ensure_environment DIRECTORY PYTHON [GROUP]: DIRECTORY holds thrust, editable, and the dependency group of pyproject.toml.
# PYTHON is used only if the environment has to be made; empty means the newest.
ensure_environment() {
  local directory=$1 python=$2 group=${3:-}
  # Without pip it is the remains of an interrupted run, or its base interpreter is gone.
  if ! "$directory/bin/python" -c 'import pip' 2>/dev/null; then
    [ -n "$python" ] || python=$(newest_python)
    say "making ${directory##*/} with $python"
    "$python" -m venv --clear "$directory"
  fi
  is_installed "$directory" "$group" || install_into "$directory" "$group"
}

# With an empty group any installation of today's pyproject.toml will do.
is_installed() {
  local stamp
  for stamp in "$1/.installed-from${2:+-$2}"*; do
    if cmp -s "$root/pyproject.toml" "$stamp"; then return 0; fi
  done
  return 1
}

install_into() {
  local directory=$1 group=$2
  say "installing thrust${group:+ and its group '$group'} into ${directory##*/} (once, and again when pyproject.toml changes)"
  # pip knows dependency groups (PEP 735) from 25.1 on.
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check \
    --editable "$root" ${group:+--group "$root/pyproject.toml:$group"}
  cp "$root/pyproject.toml" "$directory/.installed-from${group:+-$group}"
}
