//! What DataFusion's planner asks while it turns syntax into a plan, answered from relations that
//! are already open.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::datatype::DataTypeExt;
use datafusion::common::{ScalarValue, TableReference, plan_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result as DfResult;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use sqlparser::ast;

use super::multiset::Numbered;
use super::spelling::Spellings;

/// The relations and functions of one query.
pub(crate) struct PlanningContext<'a> {
    state: &'a SessionState,
    tables: HashMap<Vec<String>, Arc<dyn TableSource>>,
    options: Arc<ConfigOptions>,
    relation_planners: [Arc<dyn RelationPlanner>; 1],
}

impl<'a> PlanningContext<'a> {
    pub(crate) fn new(state: &'a SessionState) -> Self {
        let options = Arc::clone(state.config_options());
        let relation_planners: [Arc<dyn RelationPlanner>; 1] = [Arc::new(Numbered)];
        Self { state, tables: HashMap::new(), options, relation_planners }
    }

    /// Adds a relation, its columns in the query's spelling.
    pub(crate) fn add(
        &mut self,
        key: Vec<String>,
        table: Arc<dyn TableProvider>,
        spellings: &Spellings,
    ) -> DfResult<()> {
        let schema = table.schema();
        let source = provider_as_source(table);
        let respelt =
            schema.fields().iter().any(|f| spellings.of_column(f.name()) != f.name().as_str());
        let source = if respelt {
            let columns: Vec<Expr> = schema
                .fields()
                .iter()
                .map(|f| {
                    let column = Expr::Column(datafusion::common::Column::from_name(f.name()));
                    column.alias(spellings.of_column(f.name()))
                })
                .collect();
            let scan = LogicalPlanBuilder::scan("respelt", source, None)?;
            let plan = scan.project(columns)?.build()?;
            provider_as_source(Arc::new(ViewTable::new(plan, None)))
        } else {
            source
        };
        self.tables.insert(key, source);
        Ok(())
    }
}

fn key_of(name: &TableReference) -> Vec<String> {
    let parts = [name.catalog(), name.schema(), Some(name.table())];
    parts.into_iter().flatten().map(str::to_owned).collect()
}

impl ContextProvider for PlanningContext<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        self.tables
            .get(&key_of(&name))
            .map(Arc::clone)
            .ok_or_else(|| plan_datafusion_err!("table \"{name}\" not found"))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> DfResult<Arc<dyn TableSource>> {
        use datafusion::catalog::TableFunctionArgs;
        let lower = name.to_lowercase();
        let Some(function) = self.state.table_functions().get(&lower) else {
            return Err(plan_datafusion_err!("table function \"{name}\" not found"));
        };
        let args = args
            .into_iter()
            .map(|arg| super::plan::constant(self.state, arg).map(|v| Expr::Literal(v, None)))
            .collect::<crate::error::Result<Vec<_>>>()?;
        let args = TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(function.create_table_provider_with_args(args)?))
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: SchemaRef,
    ) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types { time_zone: self.options.execution.time_zone.clone() }))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).map(Arc::clone)
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).map(Arc::clone)
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).map(Arc::clone)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).map(Arc::clone)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// Types in expressions, where ours differ from DataFusion's: timestamps and times are in microseconds.
#[derive(Debug)]
struct Types {
    time_zone: Option<String>,
}

impl TypePlanner for Types {
    fn plan_type_field(&self, ty: &ast::DataType) -> DfResult<Option<FieldRef>> {
        let data_type = match ty {
            ast::DataType::Timestamp(None | Some(6), zone) => {
                let zoned = matches!(zone, ast::TimezoneInfo::Tz | ast::TimezoneInfo::WithTimeZone);
                let zone = zoned.then(|| self.time_zone.clone().unwrap_or("UTC".to_owned()));
                DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into))
            }
            ast::DataType::Time(None | Some(6), zone) if *zone != ast::TimezoneInfo::Tz => {
                DataType::Time64(TimeUnit::Microsecond)
            }
            ast::DataType::Custom(name, modifiers) if modifiers.is_empty() => {
                match name.to_string().to_lowercase().as_str() {
                    "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
                    "timestamp_ltz" => {
                        let zone = self.time_zone.clone().unwrap_or("UTC".to_owned());
                        DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
                    }
                    "long" => DataType::Int64,
                    "short" => DataType::Int16,
                    "byte" => DataType::Int8,
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(data_type.into_nullable_field_ref()))
    }
}

/// A literal's text, if it is a string.
pub(crate) fn string_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(s))
        | ScalarValue::Utf8View(Some(s))
        | ScalarValue::LargeUtf8(Some(s)) => Some(s),
        _ => None,
    }
}
