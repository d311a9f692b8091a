#!/usr/bin/env bash
# Installs what Tusk needs on Debian 12: `deps.sh build` to build and run, `deps.sh test` for the tests too.
# Says first what it will install and how large that is. No service is started or enabled that was not before:
# Debian's nginx package would otherwise open port 80. `--quiet`: say nothing when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-build} quiet=${2:-}
packages=(nginx nginx-dev libclang-dev gcc make pkg-config libssl-dev ca-certificates curl)
[ "$what" != test ] || packages+=(chromium mariadb-server mariadb-client python3-venv wrk)

say() { printf '%s\n' "$*" >&2; }
sudo=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { say "deps: not root and no sudo: run as root once: scripts/deps.sh $what"; exit 1; }
  sudo=(sudo)
fi

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
# Node, npm, Java and Maven count as there however they came; only what is missing comes from Debian.
tool() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
# npm builds the console's pages and fetches the engine of the embedded ClickHouse.
tool npm npm
if [ "$what" = test ]; then
  tool node nodejs; tool java default-jre-headless; tool javac default-jdk-headless; tool mvn maven; tool python3 python3
fi

missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done

# What would start at boot, so that only new links are taken back.
links() { find /etc/systemd/system /etc/rc?.d -name '*.service' -o -name '*.timer' -o -path '/etc/rc?.d/S*' 2>/dev/null | sort; }

if [ ${#missing[@]} -gt 0 ]; then
  say "deps: missing Debian packages: ${missing[*]}"
  apt-cache policy "${missing[0]}" 2>/dev/null | grep -q 'Candidate: [0-9]' || "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install --no-install-recommends --assume-no "${missing[@]}" 2>/dev/null \
    | grep -E '^(Need to get|After this operation)' | sed 's/^/deps: /' >&2 || true
  links_before=$(links)
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    # 101 = "not allowed": package scripts ask this file before they start a service.
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
    "${sudo[@]}" chmod 755 $policy
    trap '"${sudo[@]}" rm -f $policy' EXIT
  fi
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
    | grep -E '^(Get:|Unpacking|Setting up)' | sed 's/^/deps: /' >&2
  new=$(comm -13 <(echo "$links_before") <(links))
  for link in $(grep -v '^/etc/rc' <<<"$new"); do "${sudo[@]}" rm -f "$link"; done
  for service in $(sed -n 's|^/etc/rc.\.d/S[0-9][0-9]||p' <<<"$new" | sort -u); do "${sudo[@]}" update-rc.d "$service" disable >/dev/null 2>&1 || true; done
  say "deps: not started at boot: $(sed -E 's|.*/||; s|^S[0-9]{2}||; s|\.service$||' <<<"$new" | sort -u | tr '\n' ' ')"
fi

need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
export PATH="$HOME/.cargo/bin:$PATH"
have=$(cargo --version 2>/dev/null | awk '{print $2}' || true)
newer() { [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; }
if ! newer "$need" "$have"; then
  say "deps: cargo is ${have:-missing}, $need or newer is needed: installing Rust by rustup into ~/.cargo (about 150 MB to download)"
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy,rustfmt --default-toolchain stable --no-modify-path >&2
fi
[ "$quiet" = --quiet ] || say "deps: all there ($(cargo --version), $(nginx -v 2>&1 || /usr/sbin/nginx -v 2>&1))"
