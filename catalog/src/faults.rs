//! Metastore and store that fail on purpose, for tests of whatever must survive them.
