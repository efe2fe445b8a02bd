"""Air-gapped bundles as values: format, signature, plans and checks. Pure."""
