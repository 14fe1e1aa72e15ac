#!/usr/bin/env bash
# Installs jackal for the steps of a GitHub Actions job.
#
# JACKAL_URL and JACKAL_SHA256: a program to download, and its SHA-256 in hex digits.
# JACKAL_SOURCE: without a URL, the sources to build it from, with Cargo.
# JACKAL_TO: the folder for the program, which is added to PATH through GITHUB_PATH.
set -euo pipefail

fail() { echo "::error title=jackal::$*"; exit 1; }

mkdir -p "$JACKAL_TO"
if [ -n "${JACKAL_URL:-}" ]; then
  [[ "${JACKAL_SHA256:-}" =~ ^[0-9a-f]{64}$ ]] || fail "sha256 is not 64 lower-case hex digits: url needs it"
  curl --fail --silent --show-error --location --retry 3 --output "$JACKAL_TO/jackal" -- "$JACKAL_URL" ||
    fail "the program cannot be downloaded"
  if ! echo "$JACKAL_SHA256  $JACKAL_TO/jackal" | sha256sum --check --quiet -; then
    rm -f "$JACKAL_TO/jackal"
    fail "the program that url gives is not the one of sha256"
  fi
  chmod 755 "$JACKAL_TO/jackal"
else
  command -v cargo >/dev/null || fail "neither url is given nor is Cargo installed"
  cargo build --release --locked --manifest-path "$JACKAL_SOURCE/Cargo.toml" --target-dir "$JACKAL_TO/target"
  cp "$JACKAL_TO/target/release/jackal" "$JACKAL_TO/jackal"
  rm -rf "$JACKAL_TO/target"
fi
"$JACKAL_TO/jackal" version
echo "$JACKAL_TO" >> "$GITHUB_PATH"
