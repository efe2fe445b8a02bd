"""Air-gapped bundles: pack, check, load, prove."""
