//! Tests that SQL alone cannot express: crashes, races, damage, limits, the shape of the code.

mod tidy;
