"""Image registries: reading images as they have them."""
