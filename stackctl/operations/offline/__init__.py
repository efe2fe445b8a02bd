"""One module for each offline job: pack, verify, load, rollback, prove, diff."""
