"""EntryProposal of entries for a folder of files: what the files are, and what to train on them.

`genmint new` surveys the files with the readers of ingest, chooses settings, and sizes the models
for a time budget by timing their training steps on this machine.
"""
