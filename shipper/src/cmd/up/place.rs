//! Where things go: programs, the data folder and its owner, free ports, the address phones see.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use event::Lang;

use crate::Fail;
use crate::lang::pick;

/// How many ports after a busy one are tried.
const PORTS_TRIED: u16 = 100;

/// Users nginx may run as when root starts it, the first that exists.
const USERS: [&str; 4] = ["www-data", "nginx", "http", "nobody"];

/// A user without rights.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) group: String,
    gid: u32,
}

/// The user nginx's workers get; `None` if we are not root and they are simply ours.
pub(super) fn user() -> Result<Option<User>, Fail> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    let found = USERS.iter().find_map(|name| {
        let gid = field(&users, 0, name, 3)?.parse().ok()?;
        let group = field(&groups, 2, &format!("{gid}"), 0)?;
        Some(User { name: (*name).to_owned(), group: group.to_owned(), gid })
    });
    found.map(Some).ok_or_else(|| {
        Fail::new("there is no user www-data, nginx or nobody for nginx to run as; start this as a user who is not root")
    })
}

/// Field `get` of the first line of a `:`-separated table whose field `by` is `value`.
fn field<'t>(table: &'t str, by: usize, value: &str, get: usize) -> Option<&'t str> {
    let line = table.lines().find(|line| line.split(':').nth(by) == Some(value))?;
    line.split(':').nth(get)
}

/// Makes the data folder: ours, 0750, its group that of nginx's workers, who pass through it to the ring. They start in it and go
/// by relative paths, so the folders above need not be open to them.
pub(super) fn folder(data: &Path, user: Option<&User>) -> Result<(), Fail> {
    let refuse = |path: &Path, error: &io::Error| {
        let path = path.display();
        Fail::new(match error.kind() {
            io::ErrorKind::PermissionDenied => format!(
                "{path}: {error}; it belongs to another user: run this as that user (sudo), or sudo chown -R $USER {path}"
            ),
            _ => format!("{path}: {error}"),
        })
    };
    for folder in [data.to_owned(), data.join("nginx"), data.join("files")] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&folder);
        made.map_err(|error| refuse(&folder, &error))?;
        if rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_err() {
            return Err(refuse(&folder, &io::ErrorKind::PermissionDenied.into()));
        }
        if let Some(user) = user
            && !folder.ends_with("files")
        {
            chown(&folder, None, Some(user.gid)).map_err(|error| refuse(&folder, &error))?;
            let mode = fs::Permissions::from_mode(0o750);
            fs::set_permissions(&folder, mode).map_err(|error| refuse(&folder, &error))?;
        }
    }
    Ok(())
}

/// A program by path or name.
pub(super) fn program(name: &Path) -> Result<PathBuf, Fail> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin"].map(PathBuf::from));
    let found = if name.components().count() > 1 {
        Some(name.to_owned()).filter(|path| path.is_file())
    } else {
        places.iter().map(|place| place.join(name)).find(|path| path.is_file())
    };
    let found = found.ok_or_else(|| {
        Fail::new(format!(
            "no nginx at {}: make deps installs one, or name it: --nginx PATH",
            name.display()
        ))
    })?;
    absolute(&found)
}

/// A file that must be there.
pub(super) fn file(path: &Path) -> Result<PathBuf, Fail> {
    if !path.is_file() {
        return Err(Fail::new(format!("no module at {}: make module builds it", path.display())));
    }
    absolute(path)
}

fn absolute(path: &Path) -> Result<PathBuf, Fail> {
    std::path::absolute(path).map_err(|error| Fail::new(format!("{}: {error}", path.display())))
}

/// All addresses of the same family.
pub(super) fn all(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// This address, or the next port that is free, which is then said in a line.
pub(super) fn free(wanted: SocketAddr, lang: Lang) -> Result<SocketAddr, Fail> {
    let mut address = wanted;
    for step in 0..PORTS_TRIED {
        let Some(port) = wanted.port().checked_add(step) else { break };
        address.set_port(port);
        match TcpListener::bind(address) {
            Ok(_) => {
                if step > 0 {
                    let text = pick(
                        lang,
                        format!("端口 {} 被占用，改用 {port}", wanted.port()),
                        format!("port {} is busy, taking {port}", wanted.port()),
                    );
                    super::say(&text);
                }
                return Ok(address);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(Fail::new(format!(
                    "cannot listen on {address}: {error}; choose another with --listen and --port (make run LISTEN= PORT=)"
                )));
            }
        }
    }
    Err(Fail::new(format!(
        "no free port from {} on; choose another with --port (make run PORT=)",
        wanted.port()
    )))
}

/// The address by which the local network sees this machine: that of the interface the default route uses. Nothing is sent.
pub(super) fn lan_address(lang: Lang) -> Option<IpAddr> {
    // Documentation addresses: never reached, but routed like any other.
    let found = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].iter().find_map(
        |(from, to)| {
            let socket = UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            let ip = socket.local_addr().ok()?.ip();
            (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
        },
    );
    if found.is_none() {
        let text = pick(
            lang,
            "没找到局域网地址：请先连上 Wi-Fi 或网线（ip addr 可查看地址）",
            "no LAN address found: join a network first (ip addr lists addresses)",
        );
        super::say(text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_gives_the_next_one() {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let wanted = busy.local_addr().unwrap();
        let found = free(wanted, Lang::En).unwrap();
        assert!(found.port() > wanted.port(), "{found} {wanted}");
        drop(busy);
        assert_eq!(free(wanted, Lang::En).unwrap(), wanted);
    }

    #[test]
    fn users_are_found_by_name_and_groups_by_number() {
        let table = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:34::/var/www:/bin/false\n";
        assert_eq!(field(table, 0, "www-data", 3), Some("34"));
        assert_eq!(field("a:x:1:\nb:x:34:\n", 2, "34", 0), Some("b"));
        assert_eq!(field(table, 0, "nobody", 3), None);
    }
}
