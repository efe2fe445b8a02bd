"""A chat API with sessions, in front of the gateway."""
