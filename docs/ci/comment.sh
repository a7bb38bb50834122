#!/usr/bin/env bash
# Keep one comment of the gate on a pull request: replace the one that begins with the same marker, or
# write a new one. A pass writes no new comment; it only replaces an earlier one.
#
#   GITHUB_REPOSITORY   owner/name
#   PULL_REQUEST        its number
#   OUTCOME             the gate's outcome
set -euo pipefail

file=attnbench-gate/comment.md
if [[ ! -f $file ]]; then
  echo "there is no ruling to comment on"
  exit 0
fi
marker=$(head -n 1 "$file")

comments="repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments"
found=$(MARKER="$marker" gh api --paginate "$comments" \
  --jq '.[] | select(.body | startswith(env.MARKER)) | .id')
found=${found%%$'\n'*}

if [[ -n $found ]]; then
  gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$found" --field "body=@$file"
elif [[ $OUTCOME != pass ]]; then
  gh api --method POST "$comments" --field "body=@$file"
else
  echo "the gate passed, and nothing was said before"
fi
