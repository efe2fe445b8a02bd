"""Files of any kind: a site's, durable ones, untrusted ones, digests, logs."""
