#!/usr/bin/env bash
# A time-boxed run with a dated seed; what it found stays as an artefact.
#
#   ci/soak.sh [SECONDS] [DIRECTORY]         default: 600 soak-results
#
# The seed is today's date (UTC), so that a day's run can be named and repeated
# and the next day's is another one; SEED=… overrides it.  DIRECTORY/SEED/ gets
# run.json and a copy of every dump that run.json names.  Exit: as hangdog run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
seconds=${1:-600}
seed=${SEED:-$(date -u +%Y%m%d)}
results=$(mkdir -p "${2:-soak-results}" && cd "${2:-soak-results}" && pwd)/$seed
bin=$root/${VENV:-.venv}/bin

[[ $seconds =~ ^[0-9]+$ ]] || {
	printf 'soak: %q is not a number of seconds\n  try: ci/soak.sh 600\n' "$seconds" >&2
	exit 2
}
[ -x "$bin/hangdog" ] || {
	printf 'soak: %s is not installed\n  try: make setup\n' "$bin/hangdog" >&2
	exit 4
}

mkdir -p "$results"
cd "$results"
echo "soak: fork-storm for $seconds s with seed $seed, results in $results"
status=0
"$bin/hangdog" run --scenario fork-storm --time "$seconds" --seed "$seed" --json \
	</dev/null >run.json || status=$?

# run.json names every dump by path: take them along, wherever they were written.
"$bin/python" - run.json <<'PY'
import json
import shutil
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text()
if not text.strip():
    sys.exit("soak: the run wrote no result")
run = json.loads(text)
for finding in run["findings"]:
    print(f"{finding['verdict']}: {finding['summary']}\n  try: {finding['reproduce']}")
    dump = Path(finding["dump"]) if finding.get("dump") else None
    if dump and dump.is_file() and dump.resolve().parent != Path.cwd():
        shutil.copy2(dump, Path.cwd() / dump.name)
print(f"soak: {run['steps']} steps in {run['duration_s']:.0f} s, {len(run['findings'])} findings")
PY
exit "$status"
