"""Apps: services beside the core ones, that STACK_APPS chooses. Pure."""
