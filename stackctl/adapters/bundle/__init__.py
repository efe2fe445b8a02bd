"""Bundles on their disks, and what is loaded from them."""
