"""Container images: names, pins, builds, and what they are made of. Pure."""
