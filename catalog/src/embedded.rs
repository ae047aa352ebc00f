//! The embedded catalog: PyIceberg's SQL layout in one SQLite file.
