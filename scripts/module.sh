#!/usr/bin/env bash
# module.sh NGINX PROFILE: builds the module for that nginx and proves that it loads: ends with `nginx -t`.
# NGINX_SOURCE_DIR: the source tree of an nginx that is not Debian's (see nginx-headers.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

nginx=$1 profile=${2:-release}
NGINX_BUILD_DIR=$(scripts/nginx-headers.sh "$nginx")
export NGINX_BUILD_DIR
release=()
[ "$profile" != release ] || release=(--release)
# The headers are configured: the build must not look at the source tree again.
env -u NGINX_SOURCE_DIR cargo build --locked "${release[@]}" -p ngx-module

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/logs"   # where some builds of nginx want to write before they have read the configuration
so=$PWD/${CARGO_TARGET_DIR:-target}/$profile/libngx_http_tusk_module.so
[[ ${CARGO_TARGET_DIR:-} != /* ]] || so=$CARGO_TARGET_DIR/$profile/libngx_http_tusk_module.so
arguments=$("$nginx" -V 2>&1)
{
  echo "load_module $so;"
  echo "pid $folder/nginx.pid;"
  echo "error_log stderr;"
  echo "events {}"
  echo "http {"
  echo "  access_log off;"
  for name in client_body proxy fastcgi uwsgi scgi; do
    [[ $arguments == *"--without-http_${name}_module"* ]] || echo "  ${name}_temp_path $folder/$name;"
  done
  echo "  tusk_ring $folder/ring size=64m;"
  echo "  server { listen unix:$folder/socket; client_max_body_size 0; tusk on; }"
  echo "}"
} >"$folder/nginx.conf"
if ! "$nginx" -t -p "$folder/" -c "$folder/nginx.conf"; then
  cat >&2 <<TEXT
module: $nginx does not take the module.
  "version … instead of …" or "not binary compatible": it was built from other sources or flags than those used here:
    give its own source tree in NGINX_SOURCE_DIR, and see its flags with $nginx -V.
  "dlopen": it was linked statically and can load no module at all.
  Either way it can stay as it is: put Tusk's own nginx behind it, see nginx-conf/behind.conf.
TEXT
  exit 1
fi
echo "module: $so"
