"""Wires: the same log in the formats that other people's front ends speak.

A wire translates: its requests into the hub's commands, a turn's events into its own chunks. What
the core decides is decided there, for every wire alike; wires know nothing of each other.
"""
