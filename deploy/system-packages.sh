#!/usr/bin/env bash
# Install what the tests use of Debian: promtool (package prometheus), Chromium, and a Redis that was built with TLS
# (package redis-tools holds the server's binary and starts none).
# Without the right to install, the tests that need them are skipped, and say so.
set -euo pipefail

missing=()
command -v promtool >/dev/null || missing+=(prometheus)
command -v chromium >/dev/null || missing+=(chromium)
command -v redis-server redis-check-rdb >/dev/null || missing+=(redis-tools)
[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
  echo "== not installed: ${missing[*]} (needs root and apt-get); their tests will be skipped"
  exit 0
fi
echo "== installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 5 "$log"
  echo "== could not install ${missing[*]}; their tests will be skipped"
fi
rm -f "$log"
