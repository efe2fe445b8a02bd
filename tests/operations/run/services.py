"""The services of a site where nothing is configured, in the order in which they start in containers."""

SERVICES = ["inference-chat", "inference-embed", "ingress", "api-gateway"]
