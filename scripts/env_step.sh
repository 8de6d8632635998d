#!/usr/bin/env bash
# One step of building the environment; the Makefile calls it with STACK, VENV, STAMPS and PINS set and orders the
# steps. STACK is the family of mm* packages, mim or onedl.
# Every step may be run again: it does nothing where its result is already there.
set -euo pipefail

export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME
readonly PYTORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
readonly LOGS=$VENV/logs
case ${STACK:=mim} in
  mim) readonly ENGINE=mmengine CV=mmcv DET=mmdet SEG=mmsegmentation OTHER=onedl-mmengine ;;
  onedl) readonly ENGINE=onedl-mmengine CV=onedl-mmcv DET=onedl-mmdetection SEG=onedl-mmsegmentation OTHER=mmengine ;;
  *) printf '[env] error: STACK=%s is neither mim nor onedl\n' "$STACK" >&2; exit 1 ;;
esac

say() { printf '[env] %s\n' "$*"; }
die() { printf '[env] error: %s\n' "$*" >&2; exit 1; }
python() { "$VENV/bin/python" "$@"; }
pip_install() { python -m pip install -c "$PINS" "$@"; }
is_at_least() { "$1" -c "import sys; sys.exit(sys.version_info < ($2, $3))" 2>/dev/null; }
has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; }
pinned() { sed -n "s/^$1==//p" "$PINS"; }

# True when the distribution $1 is installed in the version that PINS names, whatever its local suffix (2.13.0+cpu).
is_installed() {
  python - "$1" "$(pinned "$1")" <<'EOF'
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    sys.exit(version(sys.argv[1]).split('+')[0] != sys.argv[2])
except PackageNotFoundError:
    sys.exit(1)
EOF
}

has_distribution() {
  python -c 'import sys; from importlib.metadata import version; version(sys.argv[1])' "$1" 2>/dev/null
}

# Prints an interpreter: $PYTHON when given, else one that the mm* releases were made for (3.10-3.12), else a newer one.
find_python() {
  if [[ -n ${PYTHON:-} ]]; then
    is_at_least "$PYTHON" 3 10 || die "PYTHON=$PYTHON is not a working Python >= 3.10; name another one."
    echo "$PYTHON"
    return
  fi
  local candidate candidates=(python3 python3.12 python3.11 python3.10)
  # onedl-mmcv has ready wheels for these two, on others it is compiled
  [[ $STACK != onedl ]] || candidates=(python3.12 python3.10 python3 python3.11)
  for candidate in "${candidates[@]}"; do
    if is_at_least "$candidate" 3 10 && ! is_at_least "$candidate" 3 13; then echo "$candidate"; return; fi
  done
  for candidate in python3 python3.13; do
    if is_at_least "$candidate" 3 10; then echo "$candidate"; return; fi
  done
  die 'no Python >= 3.10 found; install one (3.10 to 3.12 suit best) or name it: make PYTHON=/path/to/python3.11 ...'
}

# mmcv and pydensecrf2 are compiled: say what is missing before anything big is downloaded.
check_build_tools() {
  command -v "${CXX:-c++}" >/dev/null || die "no C++ compiler (${CXX:-c++}) found; on Debian/Ubuntu: apt-get install g++"
  "$1" -c 'import ensurepip, venv' 2>/dev/null \
    || die "$1 cannot create environments; on Debian/Ubuntu: apt-get install python3-venv"
  "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' \
    || die "the headers of $1 (Python.h) are missing; on Debian/Ubuntu: apt-get install python3-dev"
}

step_python() {
  # An interrupted creation can leave an interpreter without pip.
  if ! is_at_least "$VENV/bin/python" 3 10 || ! python -m pip --version >/dev/null 2>&1; then
    local base
    base=$(find_python)
    check_build_tools "$base"
    say "creating $VENV with $("$base" --version)"
    "$base" -m venv --clear "$VENV"
  fi
  pip_install -q --upgrade pip 'setuptools<82' wheel ninja packaging
}

step_torch() {
  if ! is_installed torch; then
    if [[ -n ${TORCH_INDEX:-} ]]; then
      say "installing torch from $TORCH_INDEX"
      pip_install torch --index-url "$TORCH_INDEX"
    elif ! has_gpu && [[ $(uname -s) == Linux ]] && index_answers; then
      say "no NVIDIA GPU: installing the CPU build of torch from $PYTORCH_CPU_INDEX"
      pip_install torch --index-url "$PYTORCH_CPU_INDEX" || pip_install torch
    else
      say 'installing torch from the default index'
      pip_install torch
    fi
  fi
  say "torch $(python -W ignore -c 'import torch; print(torch.__version__, f"with CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU")')"
}

index_answers() {
  python - "$PYTORCH_CPU_INDEX/torch/" <<'EOF'
import sys
import urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=5).close()
except OSError as error:
    print(f'[env] {sys.argv[1]} does not answer ({error}); the default index serves torch instead')
    sys.exit(1)
EOF
}

# A job for each core, but no more than memory allows: a compiler takes up to 2 GiB on mmcv's largest files.
build_jobs() {
  python -c 'import os
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
print(max(1, min(cores, int(gib / 2))))'
}

wants_cuda_ops() {
  case ${MMCV_CUDA:-auto} in
    0) return 1 ;;
    1) return 0 ;;
    auto) ;;
    *) die "MMCV_CUDA=$MMCV_CUDA is neither 0, 1 nor auto" ;;
  esac
  has_gpu || return 1
  python -c 'import sys, torch
from torch.utils.cpp_extension import CUDA_HOME
sys.exit(not (torch.version.cuda and CUDA_HOME))' && return 0
  say 'a GPU but no CUDA compiler (nvcc): the ops of mmcv are built for the CPU only; training itself uses the GPU.'
  say 'for RoIAlign and NMS on the GPU install the CUDA toolkit of your torch, then: make MMCV_CUDA=1 clean-env env'
  return 1
}

# Checks that the ops load with the installed torch and, when $1 is 1, that they contain CUDA code.
ops_work() {
  python - "$1" 2>/dev/null <<'EOF'
import sys
import torch
from mmcv.ops import get_compiling_cuda_version, roi_align
roi_align(torch.zeros(1, 1, 4, 4), torch.tensor([[0., 0., 0., 2., 2.]]), 2)
sys.exit(sys.argv[1] == '1' and get_compiling_cuda_version() == 'not available')
EOF
}

# Keeps the whole output in file $1 and shows how far the compiler is: every fifth of ninja's "[12/77] c++ ..." lines.
show_progress() {
  local line
  while IFS= read -r line; do
    printf '%s\n' "$line" >&3
    if [[ $line =~ \[([0-9]+)/([0-9]+)\] ]] && (( BASH_REMATCH[1] % 5 == 0 || BASH_REMATCH[1] == BASH_REMATCH[2] )); then
      say "$CV: ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]} files compiled"
    fi
  done 3>"$1"
}

build_mmcv() {
  local cuda=$1 log=$LOGS/$CV.log
  shift
  local settings=(MMCV_WITH_OPS=1 FORCE_CUDA="$cuda" MAX_JOBS="${MAX_JOBS:-$(build_jobs)}")
  # mmcv builds CUDA code whenever torch sees a GPU, so the GPU is hidden where the CPU ops are wanted.
  [[ $cuda == 1 ]] || settings+=(CUDA_VISIBLE_DEVICES=-1)
  # mmcv's setup.py reads a local variable that exec() made, which Python 3.13 no longer shows it.
  if [[ $STACK == mim ]] && is_at_least "$VENV/bin/python" 3 13; then
    settings+=(PYTHONPATH="$PWD/scripts/python313")
  fi
  mkdir -p "$LOGS"
  if ! env "${settings[@]}" "$VENV/bin/python" -m pip install -v --no-build-isolation -c "$PINS" "$@" "$ENGINE" "$CV" 2>&1 \
      | show_progress "$log"; then
    tail -n 30 "$log" >&2
    die "$CV did not build; the whole log is in $log"
  fi
}

step_mmcv() {
  local cuda=0
  ! wants_cuda_ops || cuda=1
  if has_distribution "$OTHER"; then
    die "$VENV holds $OTHER, of the other family with the same import names: take another VENV, or first make clean-env"
  fi
  if ! is_installed "$CV" || ! is_installed "$ENGINE"; then
    say "installing $CV $(pinned "$CV"); unless there is a wheel it is compiled now: 7 to 10 minutes on two cores"
    build_mmcv "$cuda"
  fi
  use_headless_opencv_without_display_libraries
  if ! ops_work "$cuda"; then
    say "the wheel of $CV was built for another torch or without the wanted ops: compiling it"
    build_mmcv "$cuda" --no-cache-dir --force-reinstall --no-deps --no-binary "$CV"
    ops_work "$cuda" || die "the ops of $CV do not load: $(python -c 'import mmcv.ops' 2>&1 | tail -n 1)"
  fi
  say "$CV $(pinned "$CV") with its ops"
}

# opencv-python links to libGL and libxcb, which servers and containers often lack; the headless wheel does not.
use_headless_opencv_without_display_libraries() {
  local problem version
  if problem=$(python -c 'import cv2' 2>&1); then return; fi
  say "opencv-python does not load (${problem##*$'\n'}): using opencv-python-headless instead"
  version=$(python -c 'from importlib.metadata import version; print(version("opencv-python"))' 2>/dev/null || true)
  python -m pip uninstall -q -y opencv-python opencv-python-headless
  pip_install -q "opencv-python-headless${version:+==$version}" || pip_install -q opencv-python-headless
}

step_openmmlab() {
  if ! is_installed "$DET" || ! is_installed "$SEG"; then say "installing $DET and $SEG"; fi
  # ftfy and regex: mmseg imports them for its text encoders without declaring them.
  pip_install -q "$DET" "$SEG" ftfy regex
  python -W ignore -c 'import mmdet, mmseg'
}

step_crf() {
  is_installed pydensecrf2 && return
  say "installing pydensecrf2 $(pinned pydensecrf2) (compiled, about half a minute)"
  # The C++ files it ships are for Python <= 3.12; with Cython present they are generated anew.
  ! is_at_least "$VENV/bin/python" 3 13 || pip_install -q 'cython>=3'
  mkdir -p "$LOGS"
  pip_install --no-build-isolation pydensecrf2 >"$LOGS/pydensecrf2.log" 2>&1 \
    || say "pydensecrf2 did not build (see $LOGS/pydensecrf2.log): DenseCRF uses torch, which takes longer on small images"
}

step_tests() { pip_install -q pytest pytest-xdist hypothesis tensorboard transformers; }
step_lint() { pip_install -q ruff mypy; }
step_docs() { pip_install -q sphinx myst-parser furo sphinx-copybutton sphinxcontrib-mermaid; }

step_package() {
  say 'installing bana_mm (editable)'
  # What setup.py asks for is there by now, but for small packages of pure Python.
  pip_install -qq --no-build-isolation -e .
  local environment
  environment=$(cd "$VENV" && pwd)
  (cd / && "$environment/bin/python" -c 'import bana_mm')
  say "environment ready in $VENV"
}

"step_$1"
mkdir -p "$STAMPS"
touch "$STAMPS/$1"
