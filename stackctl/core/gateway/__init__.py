"""What the gateway is configured with: deployments, providers, routes. Pure."""
