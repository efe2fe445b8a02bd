"""The formats that clients and servers speak, and conversions between them. Pure."""
