#!/usr/bin/env bash
# Builds in a GitHub Actions job.
#
# JACKAL_TARGETS, JACKAL_ARGUMENTS: targets and further arguments, one a line.
# JACKAL_REPORTS: the folder for run.json and junit.xml, whose paths become outputs of
# the step through GITHUB_OUTPUT.
set -euo pipefail

lines() { grep -v '^[[:space:]]*$' <<< "$1" || true; }

mapfile -t targets < <(lines "${JACKAL_TARGETS:-}")
mapfile -t arguments < <(lines "${JACKAL_ARGUMENTS:-}")
mkdir -p "$JACKAL_REPORTS"
# Written before the build, so that a step after a failed one has them too.
printf 'summary=%s\njunit=%s\n' "$JACKAL_REPORTS/run.json" "$JACKAL_REPORTS/junit.xml" >> "$GITHUB_OUTPUT"
exec jackal build --summary "$JACKAL_REPORTS/run.json" --junit "$JACKAL_REPORTS/junit.xml" \
  "${arguments[@]}" -- "${targets[@]}"
