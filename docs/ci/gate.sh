#!/usr/bin/env bash
# Gate a run in CI. Inputs come in environment variables, never pasted into a command. The gate's output
# is in attnbench-gate/ afterwards, and the exit code is the gate's own.
#
#   ATTNBENCH_RUN            the run to judge
#   ATTNBENCH_BASELINES      accepted runs or folders, one per line
#   ATTNBENCH_MAX_SLOWDOWN   optional: the limit instead of the suite's
#   ATTNBENCH_INCONCLUSIVE   optional: fail, warn or pass instead of the suite's
#   ATTNBENCH_ONLY           optional: a filter
set -euo pipefail

out=attnbench-gate
mkdir -p "$out"
rm -f "$out/ruling.json" "$out/junit.xml" "$out/comment.md"

words=("$ATTNBENCH_RUN")
while IFS= read -r baseline; do
  if [[ -n $baseline ]]; then
    words+=(--baseline "$baseline")
  fi
done <<<"$ATTNBENCH_BASELINES"
if [[ -n ${ATTNBENCH_MAX_SLOWDOWN:-} ]]; then
  words+=(--max-slowdown "$ATTNBENCH_MAX_SLOWDOWN")
fi
if [[ -n ${ATTNBENCH_INCONCLUSIVE:-} ]]; then
  words+=(--inconclusive "$ATTNBENCH_INCONCLUSIVE")
fi
if [[ -n ${ATTNBENCH_ONLY:-} ]]; then
  words+=(-k "$ATTNBENCH_ONLY")
fi
if [[ -n ${GITHUB_STEP_SUMMARY:-} ]]; then
  words+=(--github-summary)
fi

code=0
attnbench gate "${words[@]}" \
  --json-to "$out/ruling.json" --junit "$out/junit.xml" --comment-file "$out/comment.md" || code=$?

outcome=error
if [[ -f $out/ruling.json ]]; then
  outcome=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["outcome"])' \
    "$out/ruling.json")
fi
if [[ -n ${GITHUB_OUTPUT:-} ]]; then
  echo "outcome=$outcome" >>"$GITHUB_OUTPUT"
fi
exit "$code"
