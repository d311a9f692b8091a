#!/usr/bin/env bash
# Builds the console's pages into console/web/dist, unless those there are newer than their sources. Built beside and moved into place,
# so that a running console never serves half of them.
set -euo pipefail
cd "$(dirname "$0")/../console/web"
command -v npm >/dev/null || { echo "pages: npm is missing, so tusk comes without its pages: run scripts/deps.sh build" >&2; exit 0; }
if [ -e dist/index.html ] && [ -z "$(find . -path ./node_modules -prune -o -path ./dist -prune -o -newer dist/index.html -type f -print -quit)" ]; then
  exit 0
fi
# The same dependencies as before need no second fetch.
if ! cmp -s package-lock.json node_modules/.installed-lock; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed-lock
fi
node_modules/.bin/vite build --outDir dist.new --emptyOutDir
touch dist.new/index.html
rm -rf dist.old
if [ -e dist ]; then mv dist dist.old; fi
mv dist.new dist
rm -rf dist.old
