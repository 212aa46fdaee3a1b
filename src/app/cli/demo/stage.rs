//! What the demo stands on: a folder, and clouds on a thread of their own, so that our own work does not slow their
//! clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Context;

use crate::sandbox::{Sandbox, Settings};

/// Where the files are.
pub struct Folder {
    path: PathBuf,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Removed,
}

impl Folder {
    /// The folder that is to be kept, which must be new or empty, or one that goes when this is dropped.
    pub fn new(keep: Option<PathBuf>) -> anyhow::Result<Self> {
        let (path, fate) = match keep {
            Some(path) => (path, Fate::Kept),
            None => {
                let name = format!("roomsweep-demo-{}", uuid::Uuid::now_v7().simple());
                (std::env::temp_dir().join(name), Fate::Removed)
            }
        };
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let path = path.canonicalize().with_context(|| path.display().to_string())?;
        anyhow::ensure!(std::fs::read_dir(&path)?.next().is_none(), "{} is not empty", path.display());
        Ok(Self { path, fate })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// What becomes of the files.
    pub fn farewell(&self) -> String {
        match self.fate {
            Fate::Kept => format!("files: {}", self.path.display()),
            Fate::Removed => "files: removed, with the temporary folder; --keep DIR keeps them".to_owned(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.fate == Fate::Removed {
            let _gone = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The stand-in clouds; they end with the process.
pub struct Clouds {
    pub sandbox: Arc<Sandbox>,
    pub address: SocketAddr,
}

impl Clouds {
    /// Starts them with the vendors' quotas, on a port that is free.
    pub fn start(folder: &Folder) -> anyhow::Result<Self> {
        let settings = Settings { log: Some(folder.path("sandbox.jsonl")), ..Settings::default() };
        let sandbox = Sandbox::new(settings)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = sandbox.clone();
        thread::Builder::new().name("sandbox".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                served.serve(listener, std::future::pending::<()>()).await
            })
        })?;
        Ok(Self { sandbox, address })
    }
}

/// What a user would write, with the sandbox for the clouds and free ports.
pub fn configuration(clouds: SocketAddr, folder: &Folder) -> String {
    let path = toml::Value::String(path_text(&folder.path("roomsweep.db")));
    format!(
        "[queue]\nbackend = \"sqlite\"\npath = {path}\n\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\n\
         [providers.volcengine]\nkind = \"volcengine\"\nendpoint = \"http://{clouds}\"\n\
         access_key_id = \"sandbox-ak\"\nsecret_access_key = \"sandbox-sk\"\nqps = 60\n\n\
         [providers.huawei]\nkind = \"huawei\"\nendpoint = \"http://{clouds}\"\n\
         access_key_id = \"sandbox-ak\"\nsecret_access_key = \"sandbox-sk\"\nproject_id = \"sandbox-project\"\nqps = 20\n"
    )
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
