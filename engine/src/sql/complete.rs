//! Names that complete a prefix in the shell.

use std::collections::BTreeSet;

use fjord_catalog::name::Namespace;

use super::variables::Variables;
use crate::services::Services;

/// Names offered at most.
const OFFERED_MAX: usize = 200;

/// Catalogs, schemas and tables whose name begins with `prefix`, regardless of case.
pub(crate) async fn complete(
    services: &Services,
    variables: &Variables,
    prefix: &str,
) -> Vec<String> {
    let prefix = prefix.to_lowercase();
    let mut names = BTreeSet::new();
    for catalog in services.catalogs() {
        names.insert(catalog.name().to_owned());
    }
    // A catalog that cannot be reached completes nothing; the statement will say why.
    if let Ok(catalog) = services.catalog(&variables.catalog) {
        for schema in catalog.metastore().list_namespaces().await.unwrap_or_default() {
            names.insert(schema.to_string());
        }
        let schema = match prefix.rsplit_once('.') {
            Some((schema, _)) => schema.to_owned(),
            None => variables.schema.clone(),
        };
        if let Ok(namespace) = Namespace::parse(&schema) {
            let qualified = prefix.contains('.');
            for entry in catalog.metastore().list(&namespace).await.unwrap_or_default() {
                names.insert(if qualified {
                    format!("{schema}.{}", entry.name.name)
                } else {
                    entry.name.name
                });
            }
        }
    }
    names.into_iter().filter(|n| n.to_lowercase().starts_with(&prefix)).take(OFFERED_MAX).collect()
}
