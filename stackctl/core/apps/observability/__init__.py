"""The app ``observability``: Prometheus with alert rules, and Grafana with a dashboard."""
