"""The Stack, and the files that it is rendered to. Pure."""
