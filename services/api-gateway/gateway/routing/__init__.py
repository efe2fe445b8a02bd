"""Which server a request goes to, how often, and what a failure of it means."""
