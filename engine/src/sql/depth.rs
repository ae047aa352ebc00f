//! Limits on how deep a statement may nest, checked before anything recurses over it.
//!
//! Long flat chains are the usual way to deep trees: `a OR b OR …` parses into a tree as deep as
//! it is long. Chains of associative operators are balanced; what stays too deep is refused.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Query, Select, SetExpr, SetOperator, SetQuantifier, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::ddl::ast::{AlterViewAction, DdlStatement, Describe};
use super::statement::Parsed;
use crate::error::{Error, ErrorKind, Result};

/// Nesting of expressions and queries in a statement: what evaluation can follow on a runtime
/// thread of 2 MiB, several times over.
pub(crate) const DEPTH_MAX: usize = 256;

/// Open brackets at one place.
const BRACKETS_MAX: usize = 200;

/// Tokens between two commas of one bracket; bounds the tree that sqlparser builds.
const CHAIN_MAX: usize = 40_000;

/// `UNION`, `INTERSECT` and `EXCEPT` of one statement.
const SET_OPERATIONS_MAX: usize = 10_000;

/// Joined relations of one statement.
const JOINS_MAX: usize = 500;

/// Chains shorter than this stay as they were written.
const BALANCED_FROM: usize = 32;

pub(crate) fn too_deep(what: &str) -> Error {
    Error::new(
        ErrorKind::LimitExceeded,
        format!(
            "{what} nests too deep (at most {DEPTH_MAX} levels); split it, or use IN lists, \
             VALUES or CTEs"
        ),
    )
}

fn too_many(what: &str, max: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("more than {max} {what} in one statement"))
}

/// Bounds, by tokens alone, the tree that the parser can build.
pub(crate) fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chains = vec![0_usize];
    let (mut angles, mut cases, mut set_operations, mut joins) = (0_usize, 0_usize, 0, 0);
    let mut before = Keyword::NoKeyword;
    for token in tokens {
        let keyword = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen | Token::LBracket | Token::LBrace => chains.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if chains.len() > 1 => {
                chains.pop();
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            Token::Lt | Token::ShiftLeft if is_nested_type(before) => angles += 1,
            Token::Gt => angles = angles.saturating_sub(1),
            Token::ShiftRight => angles = angles.saturating_sub(2),
            _ => {}
        }
        if let Some(chain) = chains.last_mut() {
            *chain += 1;
            if *chain > CHAIN_MAX {
                return Err(too_deep("the statement"));
            }
        }
        match keyword {
            Keyword::CASE => cases += 1,
            Keyword::END => cases = cases.saturating_sub(1),
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => set_operations += 1,
            Keyword::JOIN => joins += 1,
            _ => {}
        }
        if chains.len() > BRACKETS_MAX || angles > BRACKETS_MAX || cases > BRACKETS_MAX {
            return Err(too_deep("the statement"));
        }
        before = keyword;
    }
    if set_operations > SET_OPERATIONS_MAX {
        return Err(too_many("set operations", SET_OPERATIONS_MAX));
    }
    if joins > JOINS_MAX {
        return Err(too_many("joins", JOINS_MAX));
    }
    Ok(())
}

fn is_nested_type(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP | Keyword::ROW | Keyword::NESTED
    )
}

/// Balances what may be balanced and refuses what is still too deep. Runs on a deep stack.
pub(crate) fn settle(mut parsed: Parsed) -> Result<Parsed> {
    settle_parsed(&mut parsed)?;
    Ok(parsed)
}

fn settle_parsed(parsed: &mut Parsed) -> Result<()> {
    match parsed {
        Parsed::Sql(statement) => settle_node(statement.as_mut()),
        Parsed::Copy(copy) => match copy.query_mut() {
            Some(query) => settle_node(query),
            None => Ok(()),
        },
        Parsed::Explain(explain) => settle_parsed(&mut explain.statement),
        Parsed::Prepare(_, prepared) => settle_parsed(&mut prepared.statement),
        Parsed::Ddl(ddl) => match query_of(ddl) {
            Some(query) => settle_node(query),
            None => Ok(()),
        },
    }
}

fn query_of(ddl: &mut DdlStatement) -> Option<&mut Query> {
    match ddl {
        DdlStatement::CreateTable(create) => create.query.as_mut().map(|q| q.query.as_mut()),
        DdlStatement::CreateView(create) => Some(create.query.query.as_mut()),
        DdlStatement::AlterView { action: AlterViewAction::SetQuery(query), .. }
        | DdlStatement::Describe(Describe::Query(query)) => Some(query.query.as_mut()),
        _ => None,
    }
}

fn settle_node<N: Visit + VisitMut>(node: &mut N) -> Result<()> {
    if let ControlFlow::Break(never) = VisitMut::visit(node, &mut Balance) {
        match never {}
    }
    match Visit::visit(node, &mut Measure::default()) {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Balances chains: AND, OR and `||` are associative, and so is UNION ALL.
struct Balance;

impl VisitorMut for Balance {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        balance_union(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        if let Expr::BinaryOp { op, .. } = expr
            && matches!(op, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::StringConcat)
        {
            let op = op.clone();
            balance_expr(expr, &op);
        }
        ControlFlow::Continue(())
    }
}

fn balance_expr(expr: &mut Expr, wanted: &BinaryOperator) {
    let mut length = 1;
    let mut spine = &*expr;
    while let Expr::BinaryOp { left, op, .. } = spine
        && op == wanted
    {
        length += 1;
        spine = left;
    }
    if length < BALANCED_FROM {
        return;
    }
    let mut rest = std::mem::replace(expr, Expr::value(Value::Null));
    let mut terms = Vec::with_capacity(length);
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *wanted => {
                terms.push(*right);
                rest = *left;
            }
            last => {
                terms.push(last);
                break;
            }
        }
    }
    terms.reverse();
    *expr = pair_up(terms, |left, right| {
        let whole =
            Expr::BinaryOp { left: Box::new(left), op: wanted.clone(), right: Box::new(right) };
        Expr::Nested(Box::new(whole))
    })
    .unwrap_or_else(|| Expr::value(Value::Null));
}

fn balance_union(body: &mut Box<SetExpr>) {
    let mut length = 1;
    let mut spine = &**body;
    while let SetExpr::SetOperation { left, op, set_quantifier, .. } = spine
        && is_union_all(*op, *set_quantifier)
    {
        length += 1;
        spine = left;
    }
    if length < BALANCED_FROM {
        return;
    }
    let empty = || {
        SetExpr::Values(sqlparser::ast::Values {
            explicit_row: false,
            value_keyword: false,
            rows: Vec::new(),
        })
    };
    let mut rest = std::mem::replace(&mut **body, empty());
    let mut terms = Vec::with_capacity(length);
    loop {
        match rest {
            SetExpr::SetOperation { left, op, set_quantifier, right }
                if is_union_all(op, set_quantifier) =>
            {
                terms.push(*right);
                rest = *left;
            }
            last => {
                terms.push(last);
                break;
            }
        }
    }
    terms.reverse();
    **body = pair_up(terms, |left, right| SetExpr::SetOperation {
        left: Box::new(left),
        op: SetOperator::Union,
        set_quantifier: SetQuantifier::All,
        right: Box::new(right),
    })
    .unwrap_or_else(empty);
}

fn is_union_all(op: SetOperator, quantifier: SetQuantifier) -> bool {
    op == SetOperator::Union && quantifier == SetQuantifier::All
}

/// Joins neighbours until one is left; the depth is the logarithm of the length.
fn pair_up<T>(mut terms: Vec<T>, join: impl Fn(T, T) -> T) -> Option<T> {
    while terms.len() > 1 {
        let mut joined = Vec::with_capacity(terms.len().div_ceil(2));
        let mut rest = terms.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        terms = joined;
    }
    terms.pop()
}

/// Measures expressions and queries as they nest.
#[derive(Default)]
struct Measure {
    depth: usize,
}

impl Measure {
    fn enter(&mut self, levels: usize) -> ControlFlow<Error> {
        self.depth += levels;
        if self.depth > DEPTH_MAX {
            return ControlFlow::Break(too_deep("the statement"));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Measure {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.enter(query_levels(query))
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.depth -= query_levels(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        // A list of relations is flat as syntax; as a plan each join holds those before it.
        let relations: usize = select.from.iter().map(|from| 1 + from.joins.len()).sum();
        if relations > DEPTH_MAX {
            return ControlFlow::Break(too_many("relations in one FROM", DEPTH_MAX));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.enter(expr_levels(expr))
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        self.depth -= expr_levels(expr);
        ControlFlow::Continue(())
    }
}

/// What a query adds to the plan's depth.
fn query_levels(query: &Query) -> usize {
    1 + set_depth(&query.body) + query.pipe_operators.len()
}

/// What an expression adds to the plan's depth: `a[1][2]` and `a.b.c` are flat as syntax alone.
fn expr_levels(expr: &Expr) -> usize {
    match expr {
        Expr::CompoundFieldAccess { access_chain, .. } => 1 + access_chain.len(),
        Expr::CompoundIdentifier(parts) => parts.len(),
        _ => 1,
    }
}

fn set_depth(body: &SetExpr) -> usize {
    match body {
        SetExpr::SetOperation { left, right, .. } => 1 + set_depth(left).max(set_depth(right)),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse_script;
    use super::*;

    fn refused(sql: &str) {
        let e = parse_script(sql).map(drop).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
    }

    #[test]
    fn deep_statements_are_refused_without_overflowing_h22229() {
        refused(&format!("SELECT 1{}", "+1".repeat(200_000)));
        refused(&format!("SELECT 1{}", "+1".repeat(2_000)));
        refused(&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)));
        refused(&format!(
            "SELECT {}1{}",
            "CASE WHEN true THEN ".repeat(5_000),
            " END".repeat(5_000)
        ));
        refused(&format!("SELECT {}1", "NOT ".repeat(500)));
        refused(&format!("SELECT {}1", "- ".repeat(500)));
        refused(&format!("SELECT 1{}", "::int".repeat(5_000)));
        refused(&format!("SELECT a{}", "[1]".repeat(5_000)));
        refused(&format!("SELECT a{}", ".b".repeat(5_000)));
        refused(&format!("SELECT * FROM t{}", ", t".repeat(1_500)));
        refused(&format!("SELECT CAST(a AS {}int{})", "ARRAY<".repeat(5_000), ">".repeat(5_000)));
        refused(&format!("SELECT {}1{}", "f(".repeat(5_000), ")".repeat(5_000)));
        refused(&format!("{}1{}", "SELECT * FROM (".repeat(5_000), ")".repeat(5_000)));
        refused(&format!("SELECT 1{}", " EXCEPT SELECT 1".repeat(2_000)));
    }

    #[test]
    fn flat_chains_are_balanced() {
        for chain in [" OR a = 1", " AND a = 1"] {
            parse_script(&format!("SELECT * FROM t WHERE a = 0{}", chain.repeat(5_000))).unwrap();
        }
        parse_script(&format!("SELECT 'a'{}", "||'b'".repeat(5_000))).unwrap();
        parse_script(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(2_000))).unwrap();
    }

    #[test]
    fn balancing_keeps_the_order_of_terms() {
        let sql =
            format!("SELECT 'a0'{}", (1..100).map(|i| format!("||'a{i}'")).collect::<String>());
        let parsed = parse_script(&sql).unwrap().remove(0).parsed;
        let Parsed::Sql(statement) = parsed.as_ref() else { panic!() };
        let plain: String = statement.to_string().replace(['(', ')', ' '], "");
        assert_eq!(plain, sql.replace(' ', ""));
    }
}
