# Runs inside `unshare --mount`: overlays take every write, so nothing stays behind. Needs root.
overlay=$(mktemp -d)
mount -t tmpfs tmpfs "$overlay"
for part in usr etc var; do
  mkdir -p "$overlay/$part/upper" "$overlay/$part/work"
  mount -t overlay overlay -o "lowerdir=/$part,upperdir=$overlay/$part/upper,workdir=$overlay/$part/work" "/$part"
done
tmp=$overlay/tmp; mkdir "$tmp"; chmod 755 "$overlay" "$tmp"
tusk='' nginx=''
trap 'for pid in $tusk $nginx; do kill "$pid" 2>/dev/null || true; done' EXIT

make -s install PROFILE=debug
systemd-analyze verify /lib/systemd/system/tusk.service 2>&1 | grep -F tusk && exit 1
[ "$(stat -c '%U %a' /var/lib/tusk)" = 'tusk 750' ]
sed -i 's/^compression.*/compression = "none"/; s/^range_age_ms_max.*/range_age_ms_max = 500/' /etc/tusk/tusk.toml
ln -s /usr/share/nginx/modules-available/mod-http-tusk.conf /etc/nginx/modules-enabled/60-mod-http-tusk.conf
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
rm -f /etc/nginx/sites-enabled/*
cat > /etc/nginx/conf.d/tusk.conf <<CONF
tusk_ring /var/lib/tusk/ring size=64m;
server { listen 127.0.0.1:$port; location /sa { tusk on; tusk_project default; } }
CONF
nginx -t
nginx -g 'daemon off;' & nginx=$!
group=$(id -g www-data)
setpriv --reuid tusk --regid tusk --groups "$(id -g tusk),$group" /usr/local/bin/tusk run --config /etc/tusk/tusk.toml >"$tmp/log" 2>&1 & tusk=$!
event='{"type":"track","event":"Installed","distinct_id":"u1","time":1700000000000,"properties":{}}'
for _ in $(seq 100); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/sa" --data-urlencode "data=$event")" = 200 ] && break
  sleep 0.1
done
for _ in $(seq 300); do
  grep -rqs '"event":"Installed"' /var/lib/tusk --include='*.jsonl' && found=1 && break
  sleep 0.1
done
[ "${found:-}" = 1 ] || { cat "$tmp/log"; ls -lR /var/lib/tusk; exit 1; }
[ -z "$(find /var/lib/tusk -type f -perm /o+rwx)" ] || { echo "files others can read"; find /var/lib/tusk -type f -perm /o+rwx; exit 1; }
make -s uninstall PROFILE=debug && { echo "uninstall must refuse while nginx loads the module"; exit 1; }
kill "$tusk" "$nginx"; wait "$tusk" "$nginx" || true
tusk='' nginx=''
rm /etc/nginx/modules-enabled/60-mod-http-tusk.conf /etc/nginx/conf.d/tusk.conf
make -s uninstall PROFILE=debug
[ ! -e /usr/local/bin/tusk ] && [ -e /etc/tusk/tusk.toml ]
echo 'one event collected'
