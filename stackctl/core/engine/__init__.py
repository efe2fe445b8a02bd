"""The inference engines: what each can do, how one is built, tried and chosen. Pure."""
