"""What is seen of requests: counters and logs, without what was said."""
