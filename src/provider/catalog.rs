//! The one list of providers.

use std::sync::Arc;

use super::{Provider, endpoint::Endpoint, huawei, volcengine};

/// What one provider needs to know, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderSettings {
    Volcengine(volcengine::Settings),
    Huawei(huawei::Settings),
}

impl ProviderSettings {
    pub fn open(self) -> Arc<dyn Provider> {
        match self {
            ProviderSettings::Volcengine(settings) => Arc::new(volcengine::Volcengine::new(settings)),
            ProviderSettings::Huawei(settings) => Arc::new(huawei::Huawei::new(settings)),
        }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            ProviderSettings::Volcengine(settings) => &settings.endpoint,
            ProviderSettings::Huawei(settings) => &settings.endpoint,
        }
    }
}
