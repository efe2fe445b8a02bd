"""Carry one request to one server and its answer back; no policy, no retries."""
