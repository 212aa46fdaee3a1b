//! A network of a process's own, whose wires lose everything on demand: no end of a connection is told.
//!
//! Each wire ends at a bridge on this machine. A wire that is unplugged there keeps its carrier, its addresses and its
//! routes on both sides: what is sent is just lost.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Devices and namespaces are named after the process that made them, so that what a dead one left is known.
const PREFIX: &str = "rs";

/// A network namespace; gone when dropped, with its wires.
pub struct Netns {
    name: String,
    wires: Vec<Wire>,
}

/// A way out of it.
pub struct Wire {
    bridge: String,
    port: String,
    /// This machine, as seen from within.
    pub host: Ipv4Addr,
    /// The namespace, as seen from this machine.
    pub guest: Ipv4Addr,
}

impl Netns {
    /// With so many wires. Panics where namespaces cannot be made, for such tests are never skipped.
    pub fn new(wires: u32) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_stale();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{:x}n{number}", std::process::id());
        ip(&format!("netns add {name}"));
        let mut netns = Self { name, wires: Vec::new() };
        ip(&format!("-n {} link set lo up", netns.name));
        for wire in 0..wires {
            netns.lay(wire, number);
        }
        netns
    }

    fn lay(&mut self, wire: u32, number: u32) {
        // Four addresses of the range for benchmarks, which nobody routes.
        let subnet = (std::process::id() * 16 + number * 4 + wire) % 0x8000 * 4;
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + subnet;
        let (host, guest) = (Ipv4Addr::from(base + 1), Ipv4Addr::from(base + 2));
        let name = &self.name;
        let (bridge, port, inner) = (format!("{name}b{wire}"), format!("{name}p{wire}"), format!("eth{wire}"));
        self.wires.push(Wire { bridge: bridge.clone(), port: port.clone(), host, guest });
        // An address of its own, and a port that answers for nobody: else an unplugged port takes what is for the bridge.
        let [_, _, high, low] = host.octets();
        ip(&format!("link add {bridge} address 02:72:73:00:{high:02x}:{low:02x} type bridge"));
        ip(&format!("addr add {host}/30 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
        ip(&format!("link add {port} type veth peer name {inner} netns {name}"));
        ip(&format!("link set {port} arp off master {bridge} up"));
        ip(&format!("-n {name} addr add {guest}/30 dev {inner}"));
        ip(&format!("-n {name} link set {inner} up"));
    }

    /// For [`Process::start_in`](super::process::Process::start_in).
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn wire(&self, index: usize) -> &Wire {
        &self.wires[index]
    }
}

impl Wire {
    /// From now on everything is lost, both ways.
    pub fn unplug(&self) {
        ip(&format!("link set {} nomaster", self.port));
    }

    /// Nothing is lost any more.
    pub fn plug(&self) {
        ip(&format!("link set {} master {}", self.port, self.bridge));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let devices = self.wires.iter().flat_map(|wire| [&wire.port, &wire.bridge]);
        for device in devices {
            remove(&format!("link del {device}"));
        }
        remove(&format!("netns del {}", self.name));
    }
}

#[track_caller]
fn ip(arguments: &str) {
    if let Err(error) = run(arguments) {
        panic!("network namespaces need root (CAP_NET_ADMIN, CAP_SYS_ADMIN) and iproute2: ip {arguments}: {error}");
    }
}

fn remove(arguments: &str) {
    if let Err(error) = run(arguments) {
        eprintln!("ip {arguments}: {error}");
    }
}

fn run(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// What tests left that were killed.
fn remove_stale() {
    let names = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| is_stale(name))
    };
    for device in names("/sys/class/net").collect::<Vec<_>>() {
        // One end of a pair goes with the other.
        let _ = run(&format!("link del {device}"));
    }
    for namespace in names("/run/netns") {
        let _ = run(&format!("netns del {namespace}"));
    }
}

fn is_stale(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('n'));
    let owner = owner.and_then(|(owner, _)| u32::from_str_radix(owner, 16).ok());
    owner.is_some_and(|owner| !fs::exists(format!("/proc/{owner}")).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_an_unplugged_wire_carries_is_lost_and_comes_through_once_it_is_back() {
        let netns = Netns::new(1);
        let wire = netns.wire(0);
        let listener = TcpListener::bind(SocketAddr::from((wire.host, 0))).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = format!("exec 3<>/dev/tcp/{}/{port}; while read -r line; do echo $line >&3; done", wire.host);
        let mut talker = tokio::process::Command::new("ip")
            .args(["netns", "exec", netns.name(), "bash", "-c", &script])
            .stdin(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut heard, peer) = timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
        assert_eq!(peer.ip(), wire.guest);
        let mut words = talker.stdin.take().unwrap();
        let mut letter = [0; 2];
        words.write_all(b"a\n").await.unwrap();
        heard.read_exact(&mut letter).await.unwrap();
        wire.unplug();
        words.write_all(b"b\n").await.unwrap();
        let lost = timeout(Duration::from_millis(500), heard.read_exact(&mut letter)).await;
        assert!(lost.is_err(), "{lost:?}, {letter:?}");
        wire.plug();
        timeout(Duration::from_secs(10), heard.read_exact(&mut letter)).await.expect("sent again").unwrap();
        assert_eq!(&letter, b"b\n");
    }

    #[test]
    fn what_the_living_use_is_not_stale() {
        assert!(!is_stale(&format!("{PREFIX}{:x}n0", std::process::id())));
        assert!(is_stale(&format!("{PREFIX}{:x}n0b1", 0x7fff_fff0)));
        for other in ["eth0", "rs", "rsn", "rsxn1", "docker0"] {
            assert!(!is_stale(other), "{other}");
        }
    }
}
