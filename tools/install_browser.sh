#!/usr/bin/env bash
# Installs what the browser tests drive: Debian's chromium and chromium-driver. Without them those tests skip and say so.
set -euo pipefail

say() { printf 'browser: %s\n' "$*"; }

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    say "$(command -v chromium) is there"
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing chromium and chromium-driver"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    if { apt-get update -q && apt-get install -q -y --no-install-recommends chromium chromium-driver; } >"$log" 2>&1; then
        rm -f "$log"
    else
        say "apt-get failed: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log"); browser tests will skip (all of it: $log)"
    fi
else
    say "chromium or chromedriver is missing: install both (Debian: apt-get install chromium chromium-driver); browser tests will skip"
fi
