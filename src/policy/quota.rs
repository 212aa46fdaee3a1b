//! The quota guarantee.

/// From when on a request no longer counts against the quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// Never above the quota by the provider's own clock.
    Strict,
    /// Never above the quota by our clock, at the moment of sending.
    Send,
}
