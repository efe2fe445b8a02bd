"""The machine that the stack is to run on: its host, its GPUs, its Docker engine. Pure."""
