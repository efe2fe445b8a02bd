"""Commands that start and stop a site's stack."""
