"""What clients speak to: routes, errors, documents and the checks before them."""
