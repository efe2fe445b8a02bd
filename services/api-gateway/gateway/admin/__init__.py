"""What the operator may have the gateway do, by ``POST /admin`` or while it is stopped."""
