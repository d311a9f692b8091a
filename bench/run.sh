#!/usr/bin/env bash
# `make bench`: builds module, tusk and bench in release, gets the peers' packages, measures. Arguments go to the bench
# (`bench/run.sh --rounds 3 --cases a,b`; `--help`); with `deliver` first they are those of the sinks' bench, which starts the tests' real
# servers (`bench/run.sh deliver --cases kafka`; `--help`). nginx comes from `make deps`. The peers' packages are unpacked under
# target/bench, not installed: no service is started and no module snippet changes this machine's nginx.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"
say() { printf 'bench: %s\n' "$*" >&2; }

NGINX=${NGINX:-$(command -v nginx || echo /usr/sbin/nginx)}
[ -x "$NGINX" ] || { say "no nginx at $NGINX: run \`make deps\`"; exit 1; }
if [ "${1:-}" = deliver ]; then
  if [ -z "${BENCH_NO_BUILD:-}" ]; then
    make -s PROFILE=release module tusk olap >&2
    scripts/servers.sh kafka hdfs flume
  fi
  # The shipper's own target folder: most of what the two need is the same, librdkafka above all.
  cargo build -q --release --manifest-path bench/Cargo.toml --target-dir target
  export TUSK_NGINX=$NGINX TUSK_BIN=${TUSK:-$PWD/target/release/tusk} TUSK_OLAP=${TUSK_OLAP:-$PWD/target/release/tusk-olap}
  export TUSK_MODULE=${TUSK_MODULE:-$PWD/target/release/libngx_http_tusk_module.so}
  exec target/release/bench "$@"
fi

packages=(wrk libnginx-mod-http-echo libnginx-mod-http-headers-more-filter libnginx-mod-http-lua libnginx-mod-http-ndk
  libluajit2-5.1-2 libpcre3 lua-cjson lua-resty-core lua-resty-lrucache)
unpacked=$PWD/target/bench/packages
if [ ! -e "$unpacked/.complete" ]; then
  say "getting ${packages[*]} (about 1 MB, unpacked under target/bench)"
  rm -rf "$unpacked" && mkdir -p "$unpacked/deb"
  get() { (cd "$unpacked/deb" && apt-get download -q "${packages[@]}" 2>"$unpacked/apt.log" >&2); }
  get || { apt-get update -qq || sudo apt-get update -qq; get; } || { cat "$unpacked/apt.log" >&2; exit 1; }
  for file in "$unpacked"/deb/*.deb; do dpkg-deb -x "$file" "$unpacked"; done
  touch "$unpacked/.complete"
fi

if [ -z "${BENCH_NO_BUILD:-}" ]; then
  make -s PROFILE=release module tusk >&2
fi
cargo build -q --release --manifest-path bench/Cargo.toml --target-dir target
run=$(mktemp -d "$PWD/target/bench/run-XXXXXX")
trap 'rm -rf "$run"' EXIT
BENCH_SOURCE=$PWD/bench BENCH_PACKAGES=$unpacked BENCH_RUN=$run BENCH_NGINX=$NGINX \
  BENCH_TUSK=${TUSK:-$PWD/target/release/tusk} BENCH_TUSK_MODULE=${TUSK_MODULE:-$PWD/target/release/libngx_http_tusk_module.so} \
  target/release/bench "$@"
