//! The settings of a session on their way to a worker: workers begin with DataFusion's defaults.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use datafusion::common::{extensions_options, internal_datafusion_err};
use datafusion::config::{ConfigExtension, ConfigOptions};
use datafusion::error::Result;

use uuid::Uuid;

use crate::session_settings::SessionSettings;

/// Settings whose defaults are the machine's.
const OF_THE_MACHINE: [&str; 2] =
    ["datafusion.execution.target_partitions", "datafusion.execution.planning_concurrency"];

/// What the names of DataFusion's settings begin with. Those of an extension come without their
/// prefix, and the library's own travel by themselves.
const DATAFUSION: &str = "datafusion.";

extensions_options! {
    /// Travels as headers: small, and ASCII.
    pub(super) struct Carried {
        /// The settings that are not as they are by default, as JSON
        pub settings: String, default = String::new()
        /// The attempt at a query that a plan is a part of
        pub attempt: String, default = String::new()
    }
}

impl ConfigExtension for Carried {
    const PREFIX: &'static str = "fjord_carried";
}

impl Carried {
    /// The settings of `options` that are not the defaults.
    ///
    /// # Errors
    /// For a setting that has no value where the default has one: that cannot be told.
    pub(super) fn of(options: &ConfigOptions) -> Result<Self> {
        let defaults: BTreeMap<String, Option<String>> =
            defaults().entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
        let mut told = BTreeMap::new();
        for entry in options.entries() {
            let Some(default) = defaults.get(&entry.key).cloned() else { continue };
            match entry.value {
                Some(value)
                    if Some(&value) != default.as_ref()
                        || OF_THE_MACHINE.contains(&entry.key.as_str()) =>
                {
                    let is_datafusions = entry.key.starts_with(DATAFUSION);
                    let key = match is_datafusions {
                        true => entry.key,
                        false => format!("{}.{}", SessionSettings::PREFIX, entry.key),
                    };
                    drop(told.insert(key, value));
                }
                None if default.is_some() => {
                    let key = entry.key;
                    return Err(internal_datafusion_err!(
                        "setting {key} cannot be unset elsewhere"
                    ));
                }
                Some(_) | None => {}
            }
        }
        let json = serde_json::to_string(&told)
            .map_err(|e| internal_datafusion_err!("settings are no JSON: {e}"))?;
        Ok(Self { settings: ascii(&json), attempt: Uuid::new_v4().to_string() })
    }

    /// Puts the settings into `options`.
    pub(super) fn apply(&self, options: &mut ConfigOptions) -> Result<()> {
        options.extensions.insert(SessionSettings::default());
        if self.settings.is_empty() {
            return Ok(());
        }
        let told: BTreeMap<String, String> = serde_json::from_str(&self.settings)
            .map_err(|e| internal_datafusion_err!("settings that cannot be read: {e}"))?;
        for (key, value) in told {
            options.set(&key, &value)?;
        }
        Ok(())
    }
}

/// A hash of what settings are where nobody set them, but for those that follow the machine.
pub(super) fn default_settings() -> u64 {
    let mut settings: Vec<(String, Option<String>)> = defaults()
        .entries()
        .into_iter()
        .filter(|entry| !OF_THE_MACHINE.contains(&entry.key.as_str()))
        .map(|entry| (entry.key, entry.value))
        .collect();
    settings.sort_unstable();
    let mut hasher = DefaultHasher::new();
    settings.hash(&mut hasher);
    hasher.finish()
}

fn defaults() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.extensions.insert(SessionSettings::default());
    options
}

/// The JSON with every character beyond ASCII escaped.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hazard: a worker that keeps DataFusion's defaults reads literals, zones and batches its own
    /// way (stack §5).
    #[test]
    fn settings_arrive_as_they_were() {
        let mut options = defaults();
        options.execution.time_zone = Some("Asia/Tōkyō \"x\" 🜁".to_owned());
        options.set("datafusion.execution.batch_size", "77").unwrap();
        options.execution.parquet.pushdown_filters = true;
        options.set("fjord.query_rows_max", "9").unwrap();
        let carried = Carried::of(&options).unwrap();
        assert!(carried.settings.is_ascii(), "{}", carried.settings);

        let mut arrived = ConfigOptions::default();
        carried.apply(&mut arrived).unwrap();
        let all = |options: &ConfigOptions| -> Vec<_> {
            options.entries().into_iter().map(|e| (e.key, e.value)).collect()
        };
        assert_eq!(all(&arrived), all(&options));
        // What a machine chooses by its cores is told even where it is the default here.
        for key in OF_THE_MACHINE {
            assert!(carried.settings.contains(key), "{}", carried.settings);
        }
    }
}
