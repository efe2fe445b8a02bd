"""Pure layer: values in, values out. No environment, disk, socket, clock or click."""
