//! Between the AMQP client and the broker, on the wire.
//!
//! A broker stores and delivers messages that the client cannot read: a text of their properties that is not UTF-8, or
//! headers larger than a frame, which they become when the broker adds its own. The client ends the connection over
//! such a message, again at each delivery, and nothing else gets through. So it is shown, in place of a property list
//! that it cannot read, another one that encloses it byte for byte. [`Original`] opens it for the adapter, and what
//! [its own answer](unreadable::Unreadable::kept) encloses in turn goes to the broker as it came.

mod frames;
mod header;
mod methods;
mod runtime;
mod stream;
mod table;
mod unreadable;

pub use runtime::connect;
pub use unreadable::Original;
