"""Commands on air-gapped bundles."""
