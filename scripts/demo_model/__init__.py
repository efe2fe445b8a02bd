"""Trains, writes and checks the demo model of this stack (see models/demo.md)."""

NAME = "Stack Demo Model"
VERSION = "1.1"
