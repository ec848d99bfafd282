# Shared by the scripts beside it: a virtual environment in .venv that holds one of the locked sets. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
    then echo "$candidate"; return; fi
  done
  echo "error: Python 3.11, 3.12 or 3.13 is needed and was not found; name it in PYTHON" >&2
  exit 1
}

# install SET: makes .venv hold requirements/SET.txt, unless it holds it, or a set that contains it, already.
install() {
  local set=$1 python stamp
  stamp=.venv/.installed-$set
  if [ "$stamp" -nt "requirements/$set.txt" ] && [ "$stamp" -nt pyproject.toml ]; then return; fi
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    if ! "$python" -m venv .venv; then
      rm -rf .venv
      echo "error: $python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
      exit 1
    fi
  fi
  echo "installing requirements/$set.txt: TensorFlow is large, this takes a minute or two" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "requirements/$set.txt"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  touch "$stamp"
  case $set in dev) touch .venv/.installed-train .venv/.installed-serve ;; train) touch .venv/.installed-serve ;; esac
}
