//! Connections that are shared and kept.

mod settings;

pub use settings::PoolSettings;
