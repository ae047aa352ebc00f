"""When two answers are the same.

Rows are compared as multisets. In columns that are exact on both sides (integers, decimals of one scale, texts, dates) a value
equals itself alone. Where one side is a floating-point number, or the scales of decimals differ, two values are equal when they
differ by no more than RELATIVE of the larger one, or by four units in the last place of the decimal with the smaller scale: sums of
floating-point numbers depend on the order of the rows, and engines give averages of decimals different scales.

A query's LIMIT may cut through rows that its ORDER BY holds to be equal. So every query runs twice: without its last LIMIT, when
all rows are compared; and with it, when the number of rows must be that of the limit, every row one of all rows, and the columns
that are sorted by the same, row by row.
"""

import re
from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.compute as pc

RELATIVE = 1e-9
# Rows with the same exact values that are tried against one another.
MATCHES_MAX = 3_000
LIMIT = re.compile(r"\s+LIMIT\s+(\d+)\s*;?\s*$", re.IGNORECASE)


def without_limit(sql):
    """The query without its last LIMIT, and that limit or None."""
    found = LIMIT.search(sql)
    return (sql[: found.start()], int(found.group(1))) if found else (sql.rstrip().rstrip(";"), None)


def scale(kind):
    """Digits behind the point; None for what is not a number, infinite for floating point."""
    if pa.types.is_floating(kind):
        return float("inf")
    if pa.types.is_decimal(kind):
        return kind.scale
    return 0 if pa.types.is_integer(kind) else None


def plain(value):
    """One spelling for what engines give different types: dates and instants at midnight, numbers."""
    if hasattr(value, "hour") and hasattr(value, "date"):
        value = value.replace(tzinfo=None)
        return value.date() if (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0) else value
    return value


class Rule:
    """How the columns of two tables are compared."""

    def __init__(self, left, right):
        assert left.num_columns == right.num_columns, f"{left.num_columns} columns and {right.num_columns}"
        self.slack = []
        for a, b in zip(left.schema.types, right.schema.types):
            a, b = scale(a), scale(b)
            if a is None or b is None or a == b != float("inf"):
                self.slack.append(None)
            else:
                least = min(a, b)
                # A decimal's last place; of two floating-point numbers nothing but the relative part.
                self.slack.append(0.0 if least == float("inf") else 4 * 10.0 ** -least if least else 0.0)
        self.exact = [i for i, slack in enumerate(self.slack) if slack is None]
        self.loose = [i for i, slack in enumerate(self.slack) if slack is not None]

    def near(self, column, a, b):
        if a is None or b is None:
            return a is b
        a, b = float(a), float(b)
        return a == b or abs(a - b) <= max(RELATIVE * max(abs(a), abs(b)), self.slack[column] * 1.0000001)

    def same(self, a, b):
        return all(self.near(i, a[i], b[i]) for i in self.loose)


def rows(table):
    return list(zip(*[[plain(v) for v in column.to_pylist()] for column in table.columns])) if table.num_columns else []


def equal_at_once(left, right):
    """Whether two tables hold the same values, by sorting; False proves nothing."""
    if left.schema.types != right.schema.types or left.num_rows != right.num_rows:
        return False
    names = [str(i) for i in range(left.num_columns)]
    try:
        left, right = (t.rename_columns(names).combine_chunks() for t in (left, right))
        keys = [(name, "ascending") for name in names]
        return left.take(pc.sort_indices(left, keys)).equals(right.take(pc.sort_indices(right, keys)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return False


def difference(left, right, part=False):
    """None when the rows are the same; with `part`, when every row of `left` is one of `right`. Else what differs."""
    if not part and left.num_rows != right.num_rows:
        return f"{left.num_rows} rows and {right.num_rows}"
    if not part and equal_at_once(left, right):
        return None
    rule = Rule(left, right)
    mine, theirs = defaultdict(list), defaultdict(list)
    for side, table in ((mine, left), (theirs, right)):
        for row in rows(table):
            side[tuple(row[i] for i in rule.exact)].append(row)
    for key, found in mine.items():
        wanted = list(theirs.get(key, ()))
        if len(wanted) < len(found) or (not part and len(wanted) != len(found)):
            return f"{len(found)} rows and {len(wanted)} like {found[0]}"
        order = lambda row: [(row[i] is None, float(row[i] or 0)) for i in rule.loose]  # noqa: E731
        found.sort(key=order), wanted.sort(key=order)
        if not part and all(rule.same(a, b) for a, b in zip(found, wanted)):
            continue
        if len(wanted) > MATCHES_MAX:
            return f"too many rows like {found[0]} to tell"
        for row in found:
            at = next((i for i, other in enumerate(wanted) if rule.same(row, other)), None)
            if at is None:
                return f"{row} is nowhere; nearest: {wanted[:3]}"
            wanted.pop(at)
    return None


def sorted_by(sql, names):
    """The columns of the result that the last ORDER BY names, as far as they are plain columns."""
    depth, at = 0, None
    for token in re.finditer(r"[()]|\bORDER\s+BY\b|'[^']*'", sql, re.IGNORECASE):
        text = token.group()
        depth += {"(": 1, ")": -1}.get(text, 0)
        if depth == 0 and text.upper().startswith("ORDER"):
            at = token.end()
    if at is None:
        return []
    columns, part, depth, parts = [], "", 0, []
    for c in without_limit(sql)[0][at:] + ",":
        depth += {"(": 1, ")": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += c
    known = [name.lower() for name in names]
    for part in parts:
        key = re.sub(r"\s+(ASC|DESC)?\s*(NULLS\s+(FIRST|LAST))?\s*$", "", part + " ", flags=re.IGNORECASE).strip().lower()
        key = key.split(".")[-1].strip('"')
        if key.isdigit() and 0 < int(key) <= len(known):
            columns.append(int(key) - 1)
        elif Counter(known)[key] == 1:
            columns.append(known.index(key))
        else:
            break
    return columns


def order_difference(sql, left, right):
    """None when what both are sorted by is the same, row by row as far as the shorter one goes."""
    columns = sorted_by(sql, right.schema.names)
    if not columns:
        return None
    count = min(left.num_rows, right.num_rows)
    left, right = left.select(columns).slice(0, count), right.select(columns).slice(0, count)
    rule = Rule(left, right)
    for number, (a, b) in enumerate(zip(rows(left), rows(right))):
        if not rule.same(a, b) or any(a[i] != b[i] for i in rule.exact):
            return f"row {number + 1} is sorted by {a} and {b}"
    return None


