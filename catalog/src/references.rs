//! Branches and tags of a table: what there is, and the updates that a change of them takes.

use std::collections::{BTreeMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{MAIN_BRANCH, SnapshotReference, SnapshotRetention, TableMetadata, TableUpdate};

/// A branch moves with every write to it; a tag stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// `BRANCH`.
    Branch,
    /// `TAG`.
    Tag,
}

impl ReferenceKind {
    fn of(reference: &SnapshotReference) -> Self {
        if reference.is_branch() { Self::Branch } else { Self::Tag }
    }
}

impl std::fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        })
    }
}

/// Which snapshot is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// The one that `main` points to.
    Current,
    /// The one with this id.
    Snapshot(i64),
    /// The one that a branch or tag points to.
    Reference(String),
}

/// How long a reference and its snapshots are kept; what is `None` follows the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The reference itself, in milliseconds.
    pub reference_age_ms: Option<i64>,
    /// Snapshots of a branch that are kept whatever their age.
    pub snapshots_min: Option<i32>,
    /// Snapshots of a branch, in milliseconds.
    pub snapshot_age_ms: Option<i64>,
}

/// What making a reference does when its name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    /// An error.
    Fail,
    /// Nothing (`IF NOT EXISTS`).
    Skip,
    /// Moves it (`CREATE OR REPLACE`).
    Replace,
    /// Moves it, and it must be there (`REPLACE`).
    MustReplace,
}

/// A change of a table's references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReferenceChange {
    /// Makes or moves a branch or tag.
    Put {
        /// Which of the two.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// Where it points.
        at: At,
        /// When the name is taken.
        if_there: IfThere,
        /// How long it is kept.
        retention: Retention,
    },
    /// Removes a branch or tag; snapshots stay until they expire.
    Drop {
        /// Which of the two.
        kind: ReferenceKind,
        /// Its name.
        name: String,
        /// Nothing when it is not there.
        if_exists: bool,
    },
    /// Moves a branch forward to where another reference is, with nothing lost.
    FastForward {
        /// What moves; made when it is not there.
        branch: String,
        /// Where to.
        to: String,
    },
    /// Makes an ancestor of the current snapshot current.
    RollbackTo(i64),
    /// Makes the latest ancestor older than this time (milliseconds since the epoch) current.
    RollbackToTime(i64),
    /// Makes any snapshot of the table current.
    SetCurrent(At),
}

/// Every branch and tag, by name. The format library shows them in JSON only.
///
/// # Errors
/// `Corrupt` when they cannot be read.
pub fn references(metadata: &TableMetadata) -> Result<BTreeMap<String, SnapshotReference>> {
    let corrupt = |e: serde_json::Error| {
        Error::new(ErrorKind::Corrupt, "the table's references cannot be read").with_source(e)
    };
    let mut json = serde_json::to_value(metadata).map_err(corrupt)?;
    match json.get_mut("refs").map(serde_json::Value::take) {
        Some(refs) if !refs.is_null() => serde_json::from_value(refs).map_err(corrupt),
        _ => Ok(BTreeMap::new()),
    }
}

/// The snapshots from `from` back to the first that is still known, `from` included.
pub fn ancestors(metadata: &TableMetadata, from: Option<i64>) -> Vec<i64> {
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut next = from;
    while let Some(id) = next.filter(|id| seen.insert(*id)) {
        let Some(snapshot) = metadata.snapshot_by_id(id) else { break };
        order.push(id);
        next = snapshot.parent_snapshot_id();
    }
    order
}

impl ReferenceChange {
    /// The updates that make the change; none when it is so already.
    ///
    /// # Errors
    /// `NotFound` and `AlreadyExists` for names and snapshots, `InvalidArgument` for a move that
    /// would lose something or a reference of the other kind.
    pub fn updates(&self, metadata: &TableMetadata) -> Result<Vec<TableUpdate>> {
        match self {
            Self::Put { kind, name, at, if_there, retention } => {
                put(metadata, (*kind, name), at, *if_there, *retention)
            }
            Self::Drop { kind, name, if_exists } => remove(metadata, *kind, name, *if_exists),
            Self::FastForward { branch, to } => fast_forward(metadata, branch, to),
            Self::RollbackTo(id) => rollback(metadata, *id),
            Self::RollbackToTime(millis) => rollback_to_time(metadata, *millis),
            Self::SetCurrent(at) => {
                let id = snapshot_id(metadata, at)?;
                set_main(metadata, id)
            }
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn missing(message: String) -> Error {
    Error::new(ErrorKind::NotFound, message)
}

fn known(references: &BTreeMap<String, SnapshotReference>) -> String {
    const SHOWN_MAX: usize = 10;
    if references.is_empty() {
        return "there are none, for the table was never written".to_owned();
    }
    let names: Vec<&str> = references.keys().take(SHOWN_MAX).map(String::as_str).collect();
    format!("there are {}", names.join(", "))
}

fn snapshot_id(metadata: &TableMetadata, at: &At) -> Result<i64> {
    match at {
        At::Current => metadata.current_snapshot_id().ok_or_else(|| {
            invalid("the table has no snapshot to point to; write to it first".to_owned())
        }),
        At::Snapshot(id) => match metadata.snapshot_by_id(*id) {
            Some(_) => Ok(*id),
            None => Err(missing(format!("there is no snapshot {id}, it may have expired"))),
        },
        At::Reference(name) => match metadata.snapshot_for_ref(name) {
            Some(snapshot) => Ok(snapshot.snapshot_id()),
            None => {
                let known = known(&references(metadata)?);
                Err(missing(format!("there is no branch or tag {name:?}; {known}")))
            }
        },
    }
}

fn set(name: &str, reference: SnapshotReference) -> TableUpdate {
    TableUpdate::SetSnapshotRef { ref_name: name.to_owned(), reference }
}

fn check_name(kind: ReferenceKind, name: &str) -> Result<()> {
    match name.is_empty() {
        true => Err(invalid(format!("the name of a {kind} cannot be empty"))),
        false => Ok(()),
    }
}

fn put(
    metadata: &TableMetadata,
    (kind, name): (ReferenceKind, &str),
    at: &At,
    if_there: IfThere,
    retention: Retention,
) -> Result<Vec<TableUpdate>> {
    check_name(kind, name)?;
    if kind == ReferenceKind::Tag && name == MAIN_BRANCH {
        return Err(invalid(format!("{MAIN_BRANCH:?} is a branch and cannot be a tag")));
    }
    let all = references(metadata)?;
    let there = all.get(name);
    match (there, if_there) {
        (Some(reference), IfThere::Fail) => {
            let is = ReferenceKind::of(reference);
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("there is a {is} {name:?} already"),
            ));
        }
        (Some(_), IfThere::Skip) => return Ok(Vec::new()),
        (None, IfThere::MustReplace) => {
            return Err(missing(format!("there is no {kind} {name:?}; {}", known(&all))));
        }
        (Some(reference), IfThere::Replace | IfThere::MustReplace)
            if ReferenceKind::of(reference) != kind =>
        {
            let is = ReferenceKind::of(reference);
            return Err(invalid(format!("{name:?} is a {is}, not a {kind}; drop it first")));
        }
        _ => {}
    }
    let before = there.map(|reference| retention_of(&reference.retention)).unwrap_or_default();
    let snapshot_id = snapshot_id(metadata, at)?;
    let retention = checked(kind, before.or(retention))?;
    let reference = SnapshotReference::new(snapshot_id, retention);
    if there == Some(&reference) {
        return Ok(Vec::new());
    }
    Ok(vec![set(name, reference)])
}

impl Retention {
    /// These limits, and where `new` has any, those.
    fn or(self, new: Self) -> Self {
        Self {
            reference_age_ms: new.reference_age_ms.or(self.reference_age_ms),
            snapshots_min: new.snapshots_min.or(self.snapshots_min),
            snapshot_age_ms: new.snapshot_age_ms.or(self.snapshot_age_ms),
        }
    }
}

fn retention_of(retention: &SnapshotRetention) -> Retention {
    match *retention {
        SnapshotRetention::Branch {
            min_snapshots_to_keep,
            max_snapshot_age_ms,
            max_ref_age_ms,
        } => Retention {
            reference_age_ms: max_ref_age_ms,
            snapshots_min: min_snapshots_to_keep,
            snapshot_age_ms: max_snapshot_age_ms,
        },
        SnapshotRetention::Tag { max_ref_age_ms } => {
            Retention { reference_age_ms: max_ref_age_ms, ..Retention::default() }
        }
    }
}

/// The format wants every limit to be positive.
fn checked(kind: ReferenceKind, wanted: Retention) -> Result<SnapshotRetention> {
    let Retention { reference_age_ms, snapshots_min, snapshot_age_ms } = wanted;
    let times = [reference_age_ms, snapshot_age_ms];
    if times.iter().flatten().any(|ms| *ms <= 0) || snapshots_min.is_some_and(|n| n <= 0) {
        return Err(invalid("a retention must be greater than zero".to_owned()));
    }
    match kind {
        ReferenceKind::Branch => {
            Ok(SnapshotRetention::branch(snapshots_min, snapshot_age_ms, reference_age_ms))
        }
        ReferenceKind::Tag if snapshots_min.is_some() || snapshot_age_ms.is_some() => {
            Err(invalid("a tag keeps one snapshot and has no retention of snapshots".to_owned()))
        }
        ReferenceKind::Tag => Ok(SnapshotRetention::Tag { max_ref_age_ms: reference_age_ms }),
    }
}

fn remove(
    metadata: &TableMetadata,
    kind: ReferenceKind,
    name: &str,
    if_exists: bool,
) -> Result<Vec<TableUpdate>> {
    if name == MAIN_BRANCH {
        return Err(invalid(format!("branch {MAIN_BRANCH:?} is the table and cannot be dropped")));
    }
    let all = references(metadata)?;
    match all.get(name) {
        None if if_exists => Ok(Vec::new()),
        None => Err(missing(format!("there is no {kind} {name:?}; {}", known(&all)))),
        Some(reference) if ReferenceKind::of(reference) != kind => {
            let is = ReferenceKind::of(reference);
            Err(invalid(format!("{name:?} is a {is}, not a {kind}")))
        }
        Some(_) => Ok(vec![TableUpdate::RemoveSnapshotRef { ref_name: name.to_owned() }]),
    }
}

fn fast_forward(metadata: &TableMetadata, branch: &str, to: &str) -> Result<Vec<TableUpdate>> {
    let target = snapshot_id(metadata, &At::Reference(to.to_owned()))?;
    let all = references(metadata)?;
    let Some(reference) = all.get(branch) else {
        check_name(ReferenceKind::Branch, branch)?;
        let retention = checked(ReferenceKind::Branch, Retention::default())?;
        return Ok(vec![set(branch, SnapshotReference::new(target, retention))]);
    };
    if !reference.is_branch() {
        return Err(invalid(format!("{branch:?} is a tag, which never moves")));
    }
    if reference.snapshot_id == target {
        return Ok(Vec::new());
    }
    if !ancestors(metadata, Some(target)).contains(&reference.snapshot_id) {
        return Err(invalid(format!(
            "branch {branch:?} cannot be fast-forwarded to {to:?}: its snapshot {} is not an \
             ancestor of snapshot {target}",
            reference.snapshot_id
        )));
    }
    let retention = reference.retention.clone();
    Ok(vec![set(branch, SnapshotReference::new(target, retention))])
}

fn rollback(metadata: &TableMetadata, id: i64) -> Result<Vec<TableUpdate>> {
    if metadata.snapshot_by_id(id).is_none() {
        return Err(missing(format!("there is no snapshot {id}, it may have expired")));
    }
    if !ancestors(metadata, metadata.current_snapshot_id()).contains(&id) {
        return Err(invalid(format!(
            "snapshot {id} is not an ancestor of the current snapshot; set_current_snapshot takes \
             any snapshot"
        )));
    }
    set_main(metadata, id)
}

fn rollback_to_time(metadata: &TableMetadata, millis: i64) -> Result<Vec<TableUpdate>> {
    let older = ancestors(metadata, metadata.current_snapshot_id())
        .into_iter()
        .filter_map(|id| metadata.snapshot_by_id(id))
        .filter(|snapshot| snapshot.timestamp_ms() < millis)
        .max_by_key(|snapshot| snapshot.timestamp_ms());
    match older {
        Some(snapshot) => set_main(metadata, snapshot.snapshot_id()),
        None => Err(missing("no ancestor of the current snapshot is older than that".to_owned())),
    }
}

/// Points `main` to a snapshot; its retention stays.
pub(crate) fn set_main(metadata: &TableMetadata, id: i64) -> Result<Vec<TableUpdate>> {
    if metadata.current_snapshot_id() == Some(id) {
        return Ok(Vec::new());
    }
    let retention = match references(metadata)?.remove(MAIN_BRANCH) {
        Some(main) => main.retention,
        None => SnapshotRetention::branch(None, None, None),
    };
    Ok(vec![set(MAIN_BRANCH, SnapshotReference::new(id, retention))])
}
