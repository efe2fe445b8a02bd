"""Names of `.env` that other tools made usual: what each means here, and what of the stack it becomes. Pure."""
