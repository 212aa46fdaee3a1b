//! `[queue]`

use std::path::{Path, PathBuf};

use super::Queue;
use super::fault::shown;
use super::reader::{Section, from_variable, name};
use super::secret::Fallback;
use super::urls::AmqpUrl;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Backend {
    Amqp,
    Sqlite,
}

/// Keys of the other backend may stand beside, so that one word changes it; they are checked all the same.
pub(super) fn read(root: &mut Section<'_>) -> Option<Queue> {
    let mut section = root.table("queue")?;
    let backend_given = section.has("backend");
    let backend = section.word("backend", &[("amqp", Backend::Amqp), ("sqlite", Backend::Sqlite)]);
    let backend = backend.or((!backend_given).then_some(Backend::Sqlite));

    let url = url(&mut section, backend);
    let ca_file = section.text("ca_file", ca_file);
    let namespace_default = || "dismiss".to_owned();
    let namespace = section.text("namespace", namespace).unwrap_or_else(namespace_default);
    let path = section.text("path", name).unwrap_or_else(|| "roomsweep.db".to_owned());

    let plain = url.as_ref().is_some_and(|url| !url.is_tls());
    if ca_file.is_some() && plain && backend == Some(Backend::Amqp) {
        section.fault("ca_file", "goes only with an amqps:// url: this connection would not be encrypted");
    }
    section.close();
    match backend? {
        Backend::Amqp => Some(Queue::Amqp { url: url?, ca_file, namespace }),
        Backend::Sqlite => Some(Queue::Sqlite { path: PathBuf::from(path) }),
    }
}

fn url(section: &mut Section<'_>, backend: Option<Backend>) -> Option<AmqpUrl> {
    if !section.has("url") {
        if backend == Some(Backend::Amqp) {
            section
                .fault("url", "is missing: backend = \"amqp\" needs one, like \"amqp://user:password@host:5672/%2f\"");
        }
        section.take("url");
        return None;
    }
    let found = section.secret("url", Fallback::None)?;
    let fault = |message: String| section.fault("url", from_variable(message, found.variable.as_deref()));
    AmqpUrl::parse(found.secret.expose()).map_err(fault).ok()
}

fn ca_file(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    std::fs::File::open(path).map_err(|error| format!("{} cannot be read: {error}", shown(text)))?;
    Ok(path.to_path_buf())
}

fn namespace(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(format!("must be 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-', not {}", shown(text)));
    }
    Ok(text.to_owned())
}
