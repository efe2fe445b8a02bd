"""Pure layer, in rooms by feature: values in, values out. No environment, disk, socket, clock or click."""
