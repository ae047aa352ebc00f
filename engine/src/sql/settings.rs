//! SET, RESET, SHOW of settings, and USE.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use fjord_catalog::name::Namespace;
use sqlparser::ast::{Expr, Reset, Set, Statement, UnaryOperator, Value};

use super::context::{StatementContext, name_parts};
use super::ddl::ast::ObjectPath;
use super::{folded, variables::DEFAULT_SCHEMA};
use super::{foreign, variables};
use crate::error::{Error, ErrorKind, Result};
use crate::foreign::catalog::ForeignCatalog;
use crate::foreign::name::Part;
use crate::query::QueryResult;

/// SET, RESET and SHOW of settings.
pub(crate) fn run(ctx: &StatementContext, statement: &Statement) -> Result<QueryResult> {
    match statement {
        Statement::Set(set) => run_set(ctx, set),
        Statement::Reset(reset) => run_reset(ctx, &reset.reset),
        Statement::ShowVariable { variable } => {
            let words: Vec<String> = variable.iter().map(folded).collect();
            show(ctx, &words)
        }
        other => Err(Error::new(ErrorKind::Bug, format!("{other} is not a setting"))),
    }
}

fn run_set(ctx: &StatementContext, set: &Set) -> Result<QueryResult> {
    match set {
        Set::SingleAssignment { scope: None, hivevar: false, variable, values } => {
            let key = name_parts(variable)?.join(".");
            let [value] = values.as_slice() else {
                return Err(Error::invalid(format!("setting \"{key}\" takes one value")));
            };
            if matches!(value, Expr::Identifier(i) if i.value.eq_ignore_ascii_case("default")) {
                ctx.shared.reset(Some(&key))?;
                return Ok(QueryResult::done(format!("reset {key}")));
            }
            let value = literal(&key, value)?;
            let key = ctx.shared.set(&key, &value)?;
            Ok(QueryResult::done(format!("set {key} = {value}")))
        }
        Set::SetTimeZone { local: false, value } => {
            let value = literal("time_zone", value)?;
            ctx.shared.set("time_zone", &value)?;
            Ok(QueryResult::done(format!("set time_zone = {value}")))
        }
        other => {
            Err(Error::unsupported(format!("{other} is not supported; write SET setting = value")))
        }
    }
}

fn literal(key: &str, expr: &Expr) -> Result<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(value) => Ok(value.to_string()),
            other => match other.clone().into_string() {
                Some(text) => Ok(text),
                None => Err(Error::invalid(format!("setting \"{key}\": {other} is not a value"))),
            },
        },
        Expr::Identifier(ident) => Ok(folded(ident)),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            literal(key, expr).map(|value| format!("-{value}"))
        }
        other => Err(Error::invalid(format!(
            "setting \"{key}\" takes a literal, not the expression {other}"
        ))),
    }
}

fn run_reset(ctx: &StatementContext, reset: &Reset) -> Result<QueryResult> {
    match reset {
        Reset::ALL => {
            ctx.shared.reset(None)?;
            Ok(QueryResult::done("reset all settings"))
        }
        Reset::ConfigurationParameter(name) => {
            let key = name_parts(name)?.join(".");
            ctx.shared.reset(Some(&key))?;
            Ok(QueryResult::done(format!("reset {key}")))
        }
    }
}

fn show(ctx: &StatementContext, words: &[String]) -> Result<QueryResult> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rows = match words.as_slice() {
        ["all"] => variables::settings(ctx.variables.config.options()),
        ["time", "zone"] => return show(ctx, &["time_zone".to_owned()]),
        ["catalog" | "current_catalog"] => {
            vec![("catalog".to_owned(), ctx.variables.catalog.clone(), String::new())]
        }
        ["schema" | "current_schema" | "search_path"] => {
            vec![("schema".to_owned(), ctx.variables.schema.clone(), String::new())]
        }
        words => {
            let key = words.join(".");
            vec![(key.clone(), ctx.shared.show(&key)?, String::new())]
        }
    };
    let column = |pick: fn(&(String, String, String)) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(pick)))
    };
    let mut fields =
        vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)];
    let mut columns = vec![column(|r| &r.0), column(|r| &r.1)];
    if words == ["all"] {
        fields.push(Field::new("description", DataType::Utf8, false));
        columns.push(column(|r| &r.2));
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)
        .map_err(datafusion::error::DataFusionError::from)?;
    Ok(QueryResult::rows(schema, vec![batch]))
}

/// Changes the current catalog, schema or both; what is `None` stays as it is.
pub(crate) async fn use_schema(
    ctx: &StatementContext,
    catalog: Option<&str>,
    schema: Option<&str>,
) -> Result<()> {
    let (catalog_now, schema_now) = (&ctx.variables.catalog, &ctx.variables.schema);
    if let Some(catalog) = ctx.services.foreign(catalog.unwrap_or(catalog_now)) {
        let stored = match schema {
            Some(schema) => catalog.schema(&Part::folded(schema)).await?,
            None if catalog.name() == catalog_now => schema_now.clone(),
            None => first_schema(&catalog).await?,
        };
        ctx.shared.use_schema(catalog.name().to_owned(), stored);
        return Ok(());
    }
    let catalog = ctx.catalog(catalog.unwrap_or(catalog_now))?;
    let stored = match schema {
        Some(schema) => {
            let namespace = Namespace::parse(schema)?;
            catalog.metastore().load_namespace(&namespace).await?.0.to_string()
        }
        None if catalog.name() == catalog_now => schema_now.clone(),
        None => DEFAULT_SCHEMA.to_owned(),
    };
    ctx.shared.use_schema(catalog.name().to_owned(), stored);
    Ok(())
}

/// The schema of a database that `USE catalog` means: `public` where there is one.
async fn first_schema(catalog: &ForeignCatalog) -> Result<String> {
    const USUAL: &str = "public";
    let mut schemas = catalog.schemas().await?;
    if schemas.iter().any(|schema| schema == USUAL) || schemas.is_empty() {
        return Ok(USUAL.to_owned());
    }
    Ok(schemas.swap_remove(0))
}

/// USE where the name leads into a database, be it the current one.
async fn use_foreign(
    ctx: &StatementContext,
    name: &ObjectPath,
    catalog: &ForeignCatalog,
    schema: &Part,
) -> Result<QueryResult> {
    let missing = match catalog.schema(schema).await {
        Ok(stored) => {
            let using = format!("using {}.{stored}", catalog.name());
            ctx.shared.use_schema(catalog.name().to_owned(), stored);
            return Ok(QueryResult::done(using));
        }
        Err(e) => e,
    };
    let [only] = name.0.as_slice() else { return Err(missing) };
    // Out of a database that does not answer there must be a way.
    let (catalog, schema) = if let Some(other) = ctx.services.foreign(only) {
        let schema = first_schema(&other).await?;
        (other.name().to_owned(), schema)
    } else if let Ok(other) = ctx.services.catalog(only) {
        (other.name().to_owned(), DEFAULT_SCHEMA.to_owned())
    } else {
        return Err(missing);
    };
    let using = format!("using {catalog}.{schema}");
    ctx.shared.use_schema(catalog, schema);
    Ok(QueryResult::done(using))
}

/// `USE catalog.schema`, `USE schema`, or `USE catalog` where the current catalog has no such schema.
pub(crate) async fn run_use(ctx: &StatementContext, name: &ObjectPath) -> Result<QueryResult> {
    if let Some((catalog, schema)) = foreign::ddl::of_schema(ctx, Some(name)) {
        return use_foreign(ctx, name, &catalog, &schema).await;
    }
    let (catalog, namespace) = ctx.qualify_schema(&name.0)?;
    let missing = match catalog.metastore().load_namespace(&namespace).await {
        Ok((stored, _)) => {
            ctx.shared.use_schema(catalog.name().to_owned(), stored.to_string());
            return Ok(QueryResult::done(format!("using {}.{stored}", catalog.name())));
        }
        Err(e) => e,
    };
    if missing.kind() == fjord_catalog::ErrorKind::NotFound
        && let [only] = name.0.as_slice()
        && let Some(catalog) = ctx.services.foreign(only)
    {
        let schema = first_schema(&catalog).await?;
        let using = format!("using {}.{schema}", catalog.name());
        ctx.shared.use_schema(catalog.name().to_owned(), schema);
        return Ok(QueryResult::done(using));
    }
    if missing.kind() == fjord_catalog::ErrorKind::NotFound
        && let [only] = name.0.as_slice()
        && let Ok(catalog) = ctx.catalog(only)
    {
        ctx.shared.use_schema(catalog.name().to_owned(), DEFAULT_SCHEMA.to_owned());
        return Ok(QueryResult::done(format!("using {}.{DEFAULT_SCHEMA}", catalog.name())));
    }
    Err(missing.into())
}
