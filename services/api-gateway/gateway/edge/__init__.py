"""Where requests arrive: routes, bodies, replies, the sockets that they come through."""
