#!/usr/bin/env bash
# Fetches libchdb, the engine of tusk-olap, into build/libchdb/libchdb.so with npm's ordinary client: version and integrity are
# pinned in olap/library/package-lock.json. What is there in that version is not fetched again. `--quiet`: say nothing then.
# Exit 3, with one line: it cannot be had here (another architecture or libc, no npm); Tusk then collects to files only.
set -euo pipefail
cd "$(dirname "$0")/.."

to=build/libchdb lock=olap/library/package-lock.json
package=@chdb/lib-linux-x64-gnu download_mb=178 unpacked_mb=566
say() { printf 'libchdb: %s\n' "$*" >&2; }
cannot() { say "$*; Tusk collects to files, or give [sink.clickhouse] the url of a ClickHouse server"; exit 3; }

if cmp -s "$lock" "$to/package-lock.json" && [ -f "$to/libchdb.so" ]; then
  [ "${1:-}" = --quiet ] || say "$(pwd)/$to/libchdb.so is there"
  exit 0
fi
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || cannot "there is no embedded ClickHouse for $(uname -s) on $(uname -m), only for Linux on x86_64"
getconf GNU_LIBC_VERSION >/dev/null 2>&1 || cannot "there is no embedded ClickHouse for this C library, only for glibc"
command -v npm >/dev/null || cannot "npm is not installed, which fetches the embedded ClickHouse"

version=$(sed -n 's/.*"version": "\(.*\)".*/\1/p' "$lock")
work=$to/work
trap 'rm -rf "$work"; [ -z "${npm_pid:-}" ] || kill "$npm_pid" 2>/dev/null || true' EXIT
mkdir -p "$work"
free_mb=$(df -Pm "$to" | awk 'NR == 2 {print $4}')
[ "$free_mb" -ge $((download_mb + unpacked_mb + 50)) ] || { say "$((download_mb + unpacked_mb + 50)) MB are needed in $to, $free_mb MB are free"; exit 1; }
say "fetching $package $version by npm: $download_mb MB to download, $unpacked_mb MB on disk"
cp olap/library/package.json "$lock" "$work/"

fetched_mb() { du -sm "$work/cache" 2>/dev/null | cut -f1 || true; }
tries=3
while :; do
  # A cache of its own, so that progress can be seen in it and nothing stays behind.
  npm ci --prefix "$work" --cache "$work/cache" --ignore-scripts --no-audit --no-fund --loglevel=error >"$work/log" 2>&1 &
  npm_pid=$! shown=
  while kill -0 "$npm_pid" 2>/dev/null; do
    now=$(fetched_mb); now=${now:-0}
    [ "$now" -lt "$download_mb" ] || now=$download_mb
    if [ -t 2 ]; then printf '\rlibchdb: %3d of %d MB' "$now" "$download_mb" >&2
    elif [ "$((now / 50))" != "$shown" ]; then shown=$((now / 50)); say "$now of $download_mb MB"; fi
    sleep 0.5
  done
  [ ! -t 2 ] || printf '\n' >&2
  if wait "$npm_pid"; then npm_pid=; break; fi
  npm_pid= tries=$((tries - 1))
  if [ $tries = 0 ]; then
    grep -v '^npm error A complete log' "$work/log" | head -3 >&2
    say "npm could not fetch $package: is its registry reachable? (npm ping; proxy: npm config set proxy)"
    exit 1
  fi
  sleep 2
done
# The lock last, so that a fetch that was cut off is done again.
rm -f "$to/package-lock.json"
mv -f "$work/node_modules/$package/libchdb.so" "$to/libchdb.so"
cp "$lock" "$to/package-lock.json"
say "$(pwd)/$to/libchdb.so is there ($(du -m "$to/libchdb.so" | cut -f1) MB)"
