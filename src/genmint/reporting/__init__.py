"""Output for people: status, report page, exploration page and sample files."""
