"""Look at the stack and at the machine: status, health, preflight, a question."""
