"""Model files and the models served from them: headers, catalog, memory, context. Pure."""
