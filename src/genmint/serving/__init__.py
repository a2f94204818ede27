"""Requests for samples, and the server that answers them; stored with every version."""
