"""What a bundle is on its disk and at a site: parts, manifest, signature. Pure."""
