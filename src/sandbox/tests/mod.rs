//! Over real sockets, with requests that the providers sign.

mod control;
mod faults;
mod figures;
mod signatures;
mod wire;
