//! Names that complete a prefix in the shell.

use std::collections::BTreeSet;

use fjord_catalog::name::Namespace;

use super::variables::Variables;
use crate::foreign::name::Part;
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
    for catalog in services.foreign_catalogs() {
        names.insert(catalog.name().to_owned());
    }
    let schema = match prefix.rsplit_once('.') {
        Some((schema, _)) => schema.to_owned(),
        None => variables.schema.clone(),
    };
    let named = |name: String| match prefix.contains('.') {
        true => format!("{schema}.{name}"),
        false => name,
    };
    if let Some(catalog) = services.foreign(&variables.catalog) {
        let listed = catalog.quickly(false, catalog.schemas()).await;
        names.extend(listed.unwrap_or_default());
        let part = Part::folded(&schema);
        let listed = async {
            let stored = catalog.schema(&part).await?;
            catalog.relations(&stored).await
        };
        let listed = catalog.quickly(false, listed).await;
        names.extend(listed.unwrap_or_default().into_iter().map(|entry| named(entry.name)));
    }
    // A catalog that cannot be reached completes nothing; the statement will say why.
    if let Ok(catalog) = services.catalog(&variables.catalog) {
        for schema in catalog.metastore().list_namespaces().await.unwrap_or_default() {
            names.insert(schema.to_string());
        }
        if let Ok(namespace) = Namespace::parse(&schema) {
            let listed = catalog.metastore().list(&namespace).await.unwrap_or_default();
            names.extend(listed.into_iter().map(|entry| named(entry.name.name)));
        }
    }
    names.into_iter().filter(|n| n.to_lowercase().starts_with(&prefix)).take(OFFERED_MAX).collect()
}
