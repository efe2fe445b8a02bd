"""What a person writes: settings, `.env`, `stack.yml`, and where each value comes from. Pure."""
