"""What is decided of a request before any server is asked."""
