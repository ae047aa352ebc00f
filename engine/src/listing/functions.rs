//! The scalar functions of the engine, grouped as protocols ask for them.

use std::collections::BTreeMap;

use crate::sql::context::StatementContext;

/// What a function works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FunctionGroup {
    /// Numbers.
    Numeric,
    /// Text and binary strings.
    Text,
    /// Dates, times and instants.
    Time,
    /// Values of any type, and the engine itself.
    System,
}

/// A scalar function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFunction {
    /// The name it is called by; an alias is a function of its own.
    pub name: String,
    /// Its group; `None` for what works on lists, maps and the like.
    pub group: Option<FunctionGroup>,
}

pub(super) fn scalar_functions(ctx: &StatementContext) -> Vec<ListedFunction> {
    let functions: BTreeMap<_, _> = ctx.state.scalar_functions().iter().collect();
    functions
        .into_iter()
        // What is not documented is not for people: only our own plans call it.
        .filter_map(|(name, function)| {
            let section = function.documentation()?.doc_section.label;
            Some(ListedFunction { name: name.clone(), group: group_of(section) })
        })
        .collect()
}

fn group_of(section: &str) -> Option<FunctionGroup> {
    match section {
        "Math Functions" => Some(FunctionGroup::Numeric),
        "String Functions"
        | "Binary String Functions"
        | "Regular Expression Functions"
        | "Hashing Functions" => Some(FunctionGroup::Text),
        "Time and Date Functions" => Some(FunctionGroup::Time),
        "Conditional Functions" | "Other Functions" => Some(FunctionGroup::System),
        _ => None,
    }
}
