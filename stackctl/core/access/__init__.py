"""Who may ask the gateway for what, and what was used. Pure."""
