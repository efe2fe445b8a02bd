"""The gateway in the local network, by TLS: names, certificates, and how other machines learn to trust them. Pure."""
