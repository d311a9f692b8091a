#!/usr/bin/env bash
# Fuzz runs of every decoder and reader: `fuzz/run.sh [TARGET…]`, `SECONDS_EACH` per target.
# Up to 30 s: seeded mutation as ordinary tests (stable Rust, nothing to install); `make test` does this.
# Longer (`make fuzz`, 600 s by default): libFuzzer with coverage, its corpus kept in fuzz/corpus/<target>.
# An input that breaks a promise is saved under fuzz/artifacts/<target>; once fixed it belongs into fuzz/saved/<target>,
# which every short run tries first.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$HOME/.cargo/bin:$PATH"
export SECONDS_EACH=${SECONDS_EACH:-600}

if [ "$SECONDS_EACH" -le 30 ]; then
  # The same profile and versions as the rest of `make test`: what that has built is not built again.
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}
  exec cargo test --test short -- --nocapture "$@"
fi

command -v c++ >/dev/null || { echo "fuzz: libFuzzer is built from C++: apt-get install g++ (or SECONDS_EACH=30 without it)" >&2; exit 1; }
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)
# What `cargo fuzz build` passes, so that cargo-fuzz need not be installed; coverage only for this build, not for build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Zsanitizer=address"
cargo build --release --features libfuzzer --bins --target "$host"
cargo_seeds=$(mktemp -d)
trap 'rm -rf "$cargo_seeds"' EXIT
RUSTFLAGS='' cargo run -q --example seeds -- "$cargo_seeds"
failed=()
for target in "${targets[@]}"; do
  echo "fuzz: $target for $SECONDS_EACH s"
  mkdir -p "corpus/$target" "artifacts/$target"
  "target/$host/release/$target" -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout=10 -rss_limit_mb=4096 \
    -print_final_stats=1 -artifact_prefix="artifacts/$target/" "corpus/$target" "$cargo_seeds/$target" \
    2>&1 | grep -vE '^#[0-9]+\s+(NEW|REDUCE|RELOAD|pulse)' || failed+=("$target")
done
[ ${#failed[@]} = 0 ] || { echo "fuzz: a promise was broken in: ${failed[*]}; inputs are under fuzz/artifacts" >&2; exit 1; }
