"""Commands that look at a site's stack."""
