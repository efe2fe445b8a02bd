"""Load bundles into a site, go back, remove what nothing needs."""
