"""The gateway's catalogue: which models it serves, at which servers, over which routes. Pure."""
