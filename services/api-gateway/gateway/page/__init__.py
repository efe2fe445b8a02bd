"""The page at ``/``: what this gateway is, how tools are told of it, and a chat; for people with a browser."""
