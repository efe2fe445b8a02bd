"""Start the stack, wait for it, stop it."""
