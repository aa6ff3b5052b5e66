"""Conversations for code of the same process: what clients do over a socket, without one."""
