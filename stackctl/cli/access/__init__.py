"""Commands on keys and on what was used with them."""
