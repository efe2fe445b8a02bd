"""Keys that were given out, and what was used with them: asked of the gateway, or of its state while it is stopped."""
