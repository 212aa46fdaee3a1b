//! A broker that is there and does not answer: nobody waits for it in silence, and nobody for ever.

mod alarm;
mod calls;
mod embedded;
mod queue_down;
mod silence;
