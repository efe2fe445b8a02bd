"""What editors, agents and SDKs need to use the gateway: their own files, variables and lines of code."""
