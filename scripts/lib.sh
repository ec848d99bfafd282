# Shared by the scripts beside it: a virtual environment in .venv that holds one of the locked sets. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { echo "$*" >&2; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.12 python3.13 python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
    then echo "$candidate"; return; fi
  done
  say "error: Python 3.11, 3.12 or 3.13 is needed and was not found; name it in PYTHON"
  exit 1
}

# Which TensorFlow this host wants: gpu where the driver answers, else cpu, a quarter of the size. VAE_KIND overrules.
find_kind() {
  case ${VAE_KIND:-} in
    cpu | gpu) echo "$VAE_KIND" ;;
    '') if timeout 20 nvidia-smi >/dev/null 2>&1; then echo gpu; else echo cpu; fi ;;
    *) say "error: VAE_KIND is cpu or gpu, not '$VAE_KIND'"; exit 1 ;;
  esac
}

# discard_other_kind KIND: both kinds of TensorFlow install the same files, so one cannot take the other's place.
discard_other_kind() {
  local kind
  if [ ! -f .venv/.kind ]; then # made by an earlier release, or by somebody else, who is asked first
    if compgen -G '.venv/.installed-*' >/dev/null; then kind=old; else return 0; fi
  else
    kind=$(<.venv/.kind)
  fi
  if [ "$kind" != "$1" ]; then
    say "making .venv anew: it is of the kind $kind, and this host wants $1"
    rm -rf .venv
  fi
}

make_environment() {
  local python
  python=$(find_python)
  say "making .venv with $("$python" --version)"
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    say "error: $python cannot make virtual environments; on Debian: apt-get install python3-venv"
    exit 1
  fi
}

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

# install SET: makes .venv hold requirements/SET-KIND.txt, unless it holds it, or a set that contains it, already. A set
# is complete, so nothing is resolved here: neither pip's age nor what others publish decides what is installed.
install() {
  local set=$1 kind stamp lock
  kind=$(find_kind)
  lock=requirements/$set-$kind.txt
  stamp=.venv/.installed-$set
  discard_other_kind "$kind"
  if [ "$stamp" -nt "$lock" ] && [ "$stamp" -nt pyproject.toml ]; then return; fi
  if [ ! -x .venv/bin/python ]; then make_environment; fi
  echo "$kind" >.venv/.kind
  say "installing $lock: TensorFlow is large, this takes a minute or two"
  pip install --quiet --no-deps --require-hashes -r "$lock"
  # setuptools warns of folders that hide an editable package; here they are the package.
  PYTHONWARNINGS='ignore:Editable installation' pip install --quiet --no-deps --no-build-isolation --editable .
  rm -rf .venv/lib/python3*/site-packages/tensorflow/include # 280 to 430 MB of C++ headers, for operations of one's own
  touch "$stamp"
  case $set in dev) touch .venv/.installed-train .venv/.installed-serve ;; train) touch .venv/.installed-serve ;; esac
}
