"""The Docker engine: containers, images, and what they do."""
