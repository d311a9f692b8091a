#!/usr/bin/env bash
# nginx-headers.sh [NGINX]: configures the headers the module is compiled against, prints their folder (for NGINX_BUILD_DIR).
#
# NGINX is the binary that will load the module; default: the one in PATH. A module fits exactly one nginx version, so the
# headers must be of that version: Debian's nginx-dev brings them for Debian's nginx; for any other nginx give its source
# tree in NGINX_SOURCE_DIR. Either is copied to build/nginx-<version>/ and configured there with the flags of `nginx -V`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'nginx-headers: %s\n' "$*" >&2; }
die() {
  say "$1"; shift
  for line in "$@"; do say "  $line"; done
  say "  An nginx that can't load modules, or whose source is lost, can stay as it is: put Tusk's own nginx"
  say "  behind it with proxy_pass, see nginx-conf/behind.conf."
  exit 1
}

nginx=${1:-$(command -v nginx || echo /usr/sbin/nginx)}
[ -x "$nginx" ] || die "no nginx at $nginx." "make deps installs Debian's, or give NGINX=/path/to/nginx."
description=$("$nginx" -V 2>&1)
version=$(sed -nE 's|^nginx version: [^/]+/([0-9]+\.[0-9]+\.[0-9]+).*|\1|p' <<<"$description")
[ -n "$version" ] || die "$nginx -V names no version:" "$description"

version_of() { sed -nE 's/^#define NGINX_VERSION +"([^"]+)".*/\1/p' "$1/src/core/nginx.h" 2>/dev/null || true; }

debian=/usr/share/nginx/src
source=${NGINX_SOURCE_DIR:-$debian}
found=$(version_of "$source")
if [ "$found" != "$version" ]; then
  if [ -n "${NGINX_SOURCE_DIR:-}" ]; then
    die "$nginx is version $version, NGINX_SOURCE_DIR=$source is ${found:-no nginx source}." \
      "Give the source tree of nginx $version: a module loads only into the version it was built for."
  fi
  die "$nginx is version $version; ${found:+the headers of nginx-dev are $found}${found:-nginx-dev is not installed}." \
    "Debian's nginx: make deps. Any other: make module NGINX=$nginx NGINX_SOURCE_DIR=/path/to/nginx-$version"
fi
source=$(cd "$source" && pwd)

out=$PWD/build/nginx-$version
stamp=$out/.tusk-configured
wanted="$source
$description"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -f "$out/objs/ngx_auto_config.h" ]; then
  echo "$out/objs"
  exit 0
fi

# `nginx -V` prints its arguments quoted for a shell.
eval "flags=($(sed -n 's/^configure arguments: *//p' <<<"$description"))"
kept=()
for flag in ${flags[@]+"${flags[@]}"}; do
  case $flag in
  # Modules of their own .so: not part of nginx's layout, and their libraries may not be here.
  --with-*=dynamic | --add-dynamic-module=*) ;;
  # Sources that were compiled in: needed only to build nginx itself, unless they are still there.
  --add-module=* | --with-openssl=* | --with-pcre=* | --with-zlib=*)
    if [ -d "${flag#*=}" ]; then kept+=("$flag"); else say "left out, not on this machine: $flag"; fi ;;
  *) kept+=("$flag") ;;
  esac
done
case " ${flags[*]-} " in
*" --with-compat "*) ;;
*) say "$nginx was built without --with-compat: the module loads only if every flag of nginx -V could be used here." ;;
esac

say "configuring the headers of nginx $version in build/nginx-$version (a few seconds)"
rm -rf "$out"
mkdir -p "$out"
# configure writes a Makefile where it runs, so it runs in a copy; an old objs/ would be of other flags.
(cd "$source" && tar -chf - --exclude=./objs --exclude=./.git --exclude=./Makefile .) | tar -xf - -C "$out"
configure=./configure
[ -x "$out/configure" ] || configure=auto/configure
if ! (cd "$out" && "$configure" "${kept[@]}" >configure.log 2>&1); then
  tail -n 8 "$out/configure.log" >&2
  die "nginx's configure failed, its output is in build/nginx-$version/configure.log." \
    "It needs the development packages nginx itself was built with (make deps installs OpenSSL's, PCRE's and zlib's)."
fi
printf '%s\n' "$wanted" >"$stamp"
echo "$out/objs"
