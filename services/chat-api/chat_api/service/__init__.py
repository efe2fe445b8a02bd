"""What is done for a client: the key rule, messages, history, sessions, limits."""
