#!/usr/bin/env bash
# install.sh install|uninstall DESTDIR PREFIX NGINX PROFILE
# Puts files in place and enables nothing. With an empty DESTDIR it also makes the user `tusk` and the data folder.
set -euo pipefail
cd "$(dirname "$0")/.."

verb=$1 dest=$2 prefix=$3 nginx=$4 profile=$5
die() { printf 'install: %s\n' "$*" >&2; exit 1; }
[[ $prefix == /* ]] || die "PREFIX must be an absolute path, not \"$prefix\""
[[ -z $dest || $dest == /* ]] || die "DESTDIR must be an absolute path, not \"$dest\""
[ -x "$nginx" ] || die "no nginx at $nginx: make deps, or NGINX=/path/to/nginx"

arguments=$("$nginx" -V 2>&1)
modules=$(grep -oE -- '--modules-path=[^ ]+' <<<"$arguments" | cut -d= -f2 || true)
[ -n "$modules" ] || modules=$(grep -oE -- '--prefix=[^ ]+' <<<"$arguments" | cut -d= -f2)/modules
so=$modules/ngx_http_tusk_module.so
snippet=/usr/share/nginx/modules-available/mod-http-tusk.conf   # where Debian keeps load_module lines
doc=$prefix/share/doc/tusk

put() { install -D -m "$1" "$2" "$dest$3"; echo "install: $dest$3"; }
# A sample that exists is the operator's: the new one goes beside it.
sample() { if [ -e "$dest$3" ]; then put "$1" "$2" "$3.new"; else put "$1" "$2" "$3"; fi; }

case $verb in
install)
  built=target/$profile
  [ -f "$built/tusk" ] && [ -f "$built/libngx_http_tusk_module.so" ] || die "nothing built in $built: run make build first (as the user who builds, not as root)"
  put 644 "$built/libngx_http_tusk_module.so" "$so"
  put 755 "$built/tusk" "$prefix/bin/tusk"
  # The embedded ClickHouse, where `make olap` was run.
  if [ -f "$built/tusk-olap" ] && [ -f build/libchdb/libchdb.so ]; then
    put 755 "$built/tusk-olap" "$prefix/bin/tusk-olap"
    put 644 build/libchdb/libchdb.so "$prefix/lib/tusk/libchdb.so"
  fi
  unit=$(mktemp); trap 'rm -f "$unit"' EXIT
  echo "load_module $so;" >"$unit"; put 644 "$unit" "$snippet"
  sed "s|@PREFIX@|$prefix|g" packaging/tusk.service >"$unit"; put 644 "$unit" /lib/systemd/system/tusk.service
  put 644 packaging/sysusers.conf /usr/lib/sysusers.d/tusk.conf
  put 644 packaging/tmpfiles.conf /usr/lib/tmpfiles.d/tusk.conf
  install -d -m 755 "$dest/etc/tusk"
  sample 644 packaging/tusk.toml /etc/tusk/tusk.toml
  sample 640 packaging/keys.toml /etc/tusk/keys.toml
  sample 640 packaging/tokens.toml /etc/tusk/tokens.toml
  for conf in nginx-conf/*.conf; do put 644 "$conf" "$doc/nginx-conf/$(basename "$conf")"; done
  for page in README.md CHANGELOG.md LICENSE docs/*.md; do put 644 "$page" "$doc/$(basename "$page")"; done
  if [ -z "$dest" ]; then
    systemd-sysusers /usr/lib/sysusers.d/tusk.conf
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/tusk.conf
    chgrp www-data /etc/tusk/keys.toml /etc/tusk/tokens.toml 2>/dev/null || true
    "$nginx" -t -g "load_module $so;" || die "this nginx does not take the module: make module NGINX=$nginx"
    ! [ -d /run/systemd/system ] || systemctl daemon-reload
  else
    install -d -m 750 "$dest/var/lib/tusk"
  fi
  cat <<DONE

Nothing is enabled yet. When you are ready:
  1. ln -s $snippet /etc/nginx/modules-enabled/60-mod-http-tusk.conf
  2. in the http block of your nginx:   tusk_ring /var/lib/tusk/ring size=256m;
     in the location that collects:     tusk on;            (whole examples: $doc/nginx-conf)
  3. nginx -t && systemctl reload nginx && systemctl enable --now tusk
DONE
  ;;
uninstall)
  if [ -z "$dest" ] && [ -d /run/systemd/system ] && systemctl is-active --quiet tusk; then
    die "the tusk service is running: systemctl disable --now tusk, and take load_module out of nginx, first"
  fi
  if [ -z "$dest" ] && [ -e /etc/nginx/modules-enabled/60-mod-http-tusk.conf ]; then
    die "nginx still loads the module: rm /etc/nginx/modules-enabled/60-mod-http-tusk.conf, reload nginx, then again"
  fi
  rm -rf "$dest$doc"
  for file in "$so" "$prefix/bin/tusk" "$prefix/bin/tusk-olap" "$prefix/lib/tusk/libchdb.so" "$snippet" /lib/systemd/system/tusk.service /usr/lib/sysusers.d/tusk.conf /usr/lib/tmpfiles.d/tusk.conf; do
    rm -f "$dest$file"; echo "uninstall: $dest$file"
  done
  echo "Kept: ${dest}/etc/tusk and ${dest}/var/lib/tusk (yours)."
  ;;
*) die "install or uninstall, not \"$verb\"" ;;
esac
