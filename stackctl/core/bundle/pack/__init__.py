"""What goes into a bundle: plan, wheels, engine files, bill of materials. Pure."""
