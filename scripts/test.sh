#!/usr/bin/env bash
# Everything CI runs, stage by stage; `test.sh STAGE…` runs only those (see `stages` below).
# Each stage's output is also in target/test/<stage>.log. The last line sums all tests: `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"
export CARGO_TERM_COLOR=never RUST_BACKTRACE=${RUST_BACKTRACE:-0}
logs=target/test
stages=(deps lint unit build servers e2e sdk console sinks days faults fuzz)

passed=0 failed=0 summary=()

# stage NAME LIMIT_S COMMAND…: counts the tests that cargo reports, or the stage itself as one.
stage() {
  local name=$1 limit_s=$2 start=$SECONDS status=0 good bad
  shift 2
  mkdir -p "$logs"
  printf '\n== %s: %s\n' "$name" "$*"
  timeout --kill-after=20 "$limit_s" "$@" 2>&1 | tee "$logs/$name.log" || status=$?
  good=$(awk '/^test result:/ {n += $4} END {print n + 0}' "$logs/$name.log")
  bad=$(awk '/^test result:/ {n += $6} END {print n + 0}' "$logs/$name.log")
  if [ "$status" = 0 ] && [ "$good" = 0 ]; then good=1; fi
  # A stage that failed without a failed test (it did not build, or took too long) counts as one failure.
  if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
  passed=$((passed + good)) failed=$((failed + bad))
  [ "$status" != 124 ] || echo "== $name: took longer than $limit_s s"
  summary+=("$(printf '%-15s %4d passed %3d failed %5d s' "$name" "$good" "$bad" $((SECONDS - start)))")
  echo "== ${summary[-1]}"
  return "$status"
}

# The integration tests of tests/tests/ that match none of the patterns given, as --test arguments.
others() {
  local path name pattern
  for path in tests/tests/*.rs; do
    name=$(basename "$path" .rs)
    for pattern in "$@"; do
      # shellcheck disable=SC2053
      if [[ $name == $pattern ]]; then continue 2; fi
    done
    printf -- '--test\n%s\n' "$name"
  done
}

nginx=$(command -v nginx || echo /usr/sbin/nginx)

deps() { stage deps 900 scripts/deps.sh test; }
lint() {
  stage format 120 bash -c 'cargo fmt --all --check && for part in bench fuzz; do cargo fmt --manifest-path $part/Cargo.toml --check; done' || true
  stage clippy 900 cargo clippy --locked --all-targets -- -D warnings || true
}
unit() {
  stage unit 1200 cargo test -q --locked --no-fail-fast -p event -p shm-ring -p shipper -p analytics -p console || true
  # Every schedule of the ring's two protocols; other flags, so a target of its own.
  stage models 600 env RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
    cargo test -q --locked -p shm-ring --lib || true
}
build() {
  stage module 900 scripts/module.sh "$nginx" debug &&
    stage build 900 cargo build --locked || return
  # The module's own lint needs nginx's configured headers, which are there now.
  NGINX_BUILD_DIR=$(scripts/nginx-headers.sh "$nginx") stage clippy-module 900 cargo clippy --locked -p ngx-module -- -D warnings || true
}
e2e() {
  mapfile -t these < <(others 'sdk_*' 'olap_*' 'console_*' 'reports_*' 'sink_*' 'faults*' bad_days)
  stage e2e 900 cargo test -q --locked --no-fail-fast -p tusk-tests --lib "${these[@]}" || true
}
sdk() {
  local name
  for name in node python java miniprogram web; do
    stage "sdk-$name" 600 cargo test -q --locked -p tusk-tests --test "sdk_$name" -- --nocapture || true
  done
}
# The pages as `make run` builds them, their lint, then everything that is seen through them.
console() {
  local path name
  stage pages 600 scripts/pages.sh || return
  stage pages-lint 300 npm --prefix console/web run --silent check || true
  for path in tests/tests/console_*.rs tests/tests/reports_*.rs; do
    [ -e "$path" ] || continue
    name=$(basename "$path" .rs)
    stage "$name" 600 cargo test -q --locked --no-fail-fast -p tusk-tests --test "$name" -- --nocapture || true
  done
}
servers() { stage servers 900 bash -c 'scripts/servers.sh kafka hdfs && scripts/libchdb.sh'; }
sinks() {
  local path name
  stage olap 600 cargo test -q --locked --no-fail-fast -p olap || true
  for path in tests/tests/olap_*.rs tests/tests/sink_*.rs; do
    name=$(basename "$path" .rs)
    stage "$name" 600 cargo test -q --locked --no-fail-fast -p tusk-tests --test "$name" || true
  done
}
days() { stage days 600 cargo test -q --locked --no-fail-fast -p tusk-tests --test bad_days -- --test-threads=2 || true; }
faults() {
  local path name
  for path in tests/tests/faults*.rs; do
    name=$(basename "$path" .rs)
    # A fault takes about three seconds with its recovery.
    stage "$name" $((900 + 6 * ${TUSK_FAULTS:-0})) cargo test -q --locked -p tusk-tests --test "$name" -- --nocapture || true
  done
}
fuzz() { SECONDS_EACH=${SECONDS_EACH:-5} stage fuzz 900 fuzz/run.sh || true; }

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${stages[@]}")
for name in "${wanted[@]}"; do
  case " ${stages[*]} " in
    *" $name "*) ;;
    *) echo "test.sh: no stage \`$name\`; stages: ${stages[*]}" >&2; exit 2 ;;
  esac
done
# A stage on its own still needs what it tests.
if [ $# -gt 0 ] && [[ " ${wanted[*]} " =~ \ (e2e|sdk|console|sinks|days|faults)\  ]] && [[ " ${wanted[*]} " != *" build "* ]]; then
  wanted=(build "${wanted[@]}")
fi
for name in "${wanted[@]}"; do
  # Without dependencies or binaries nothing that follows means anything.
  "$name" || { echo "== $name failed: the stages after it did not run"; break; }
done

printf '\n== all stages, %d s\n' "$SECONDS"
printf '%s\n' "${summary[@]}"
# The faults lines once more, where they are found at once.
if [[ " ${wanted[*]} " == *" faults "* ]]; then grep -h '^faults=' "$logs"/faults*.log || true; fi
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
