//! Whether a request was not sent for want of something on this machine: no failure of the provider's.

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustix::io::Errno;

/// File descriptors, of this process and of the machine; memory; local ports.
const SHORTAGES: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];

/// Looking a name up takes no more descriptors than that at a time.
const LOOKUP_DESCRIPTORS: usize = 4;

/// What this machine is short of, if that is what an error comes from.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        next = match error.downcast_ref::<io::Error>() {
            Some(error) if is_shortage(error) => return Some(error.to_string()),
            // Its `source` would be that of what it holds.
            Some(error) if error.get_ref().is_some() => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            Some(_) | None => error.source(),
        };
    }
    None
}

fn is_shortage(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| SHORTAGES.contains(&errno))
}

/// Looks names up as the system does. A lookup that fails for want of descriptors looks like a name that nobody knows:
/// here the two are told apart.
pub(super) struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || look_up(name.as_str())).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn look_up(name: &str) -> io::Result<Vec<SocketAddr>> {
    match (name, 0).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) if is_shortage(&error) => Err(error),
        Err(error) => match descriptors_for_lookup() {
            Err(short) if is_shortage(&short) => Err(short),
            Err(_) | Ok(()) => Err(error),
        },
    }
}

fn descriptors_for_lookup() -> io::Result<()> {
    let held: io::Result<Vec<File>> = (0..LOOKUP_DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    held.map(drop)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;

    use super::*;

    /// An error that says nothing but where it comes from.
    #[derive(Debug)]
    struct Around(Box<dyn Error + Send + Sync>);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "something went wrong")
        }
    }

    impl Error for Around {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    proptest! {
        #[test]
        fn a_shortage_is_found_however_deep_and_nothing_else_is(code in 1..134, wraps in prop::collection::vec(any::<bool>(), 0..6)) {
            let mut error: Box<dyn Error + Send + Sync> = Box::new(io::Error::from_raw_os_error(code));
            for is_io in wraps {
                error = if is_io { Box::new(io::Error::other(error)) } else { Box::new(Around(error)) };
            }
            // Linux: ENOMEM, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS.
            prop_assert_eq!(of(&*error).is_some(), [12, 23, 24, 99, 105].contains(&code));
        }
    }

    #[test]
    fn it_is_named() {
        assert_eq!(of(&io::Error::from_raw_os_error(24)).as_deref(), Some("Too many open files (os error 24)"));
        assert_eq!(of(&io::Error::other("Too many open files (os error 24)")), None);
    }

    #[test]
    fn names_are_looked_up_and_an_unknown_one_is_no_shortage() {
        assert!(!look_up("localhost").unwrap().is_empty());
        assert_eq!(of(&look_up("no-such-name.invalid").unwrap_err()), None);
    }
}
