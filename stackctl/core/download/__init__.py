"""Downloads of model files: where they are, what is asked for, what an answer means. Pure."""
