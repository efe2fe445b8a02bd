"""Where sessions are kept: a SQLite file, or PostgreSQL."""
