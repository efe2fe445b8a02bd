"""The real world: the only place that constructs adapters, each bundle of them in the file of who needs it."""
