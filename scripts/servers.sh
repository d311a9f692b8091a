#!/usr/bin/env bash
# Fetches the real servers of the tests: `servers.sh kafka|hdfs|flume…` puts their jars from Maven Central into
# build/servers/<name>/lib (43, 68 and 44 MB). What is there for the same pom.xml is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."

for name in "$@"; do
  pom=tests/servers/$name/pom.xml to=build/servers/$name
  [ -f "$pom" ] || { echo "servers.sh: no $pom; there are: $(ls tests/servers | tr '\n' ' ')" >&2; exit 2; }
  if cmp -s "$pom" "$to/pom.xml"; then continue; fi
  echo "servers: fetching $name from Maven Central" >&2
  rm -rf "$to" && mkdir -p "$to/lib"
  tries=3
  until mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$PWD/$to/lib"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { echo "servers: $name could not be fetched: is Maven Central reachable? (proxy: ~/.m2/settings.xml)" >&2; exit 1; }
    sleep 2
  done
  # Last, so that a fetch that was cut off is done again.
  cp "$pom" "$to/pom.xml"
  echo "servers: $name: $(ls "$to/lib" | wc -l) jars, $(du -sm "$to/lib" | cut -f1) MB" >&2
done
