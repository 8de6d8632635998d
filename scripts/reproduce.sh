#!/usr/bin/env bash
# Runs every row of the paper's tables on VOC or on COCO, as configs/bana/README.md says ("Reproduce"):
#   scripts/reproduce.sh voc|coco [--tables N ...] [--dry-run] [--help]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-python}" -m bana_mm.pipeline.reproduction "$@"
